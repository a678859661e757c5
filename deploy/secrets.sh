#!/bin/sh
# Makes what docker-compose.yml reads its passwords and keys from: one file each in the folder secrets, and the line in
# .env that says where that is. What is there already stays as it is. Nothing but a POSIX system is needed.
#
# The folder lets nobody in but its owner. The files in it may be read by all, since containers see them with the rights
# they have here, under users that this machine does not know.
set -eu
cd "$(dirname "$0")/.."
umask 077
mkdir -p secrets
chmod 700 secrets

keep() { # keep NAME CONTENT: unless there is one
    [ -e "secrets/$1" ] || { printf '%s\n' "$2" >"secrets/$1" && chmod 644 "secrets/$1" && made="$made $1"; }
}
random() { # random BYTES, in letters and digits
    od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}
made=""
keep api_key "lh-$(random 24)"
keep flower_password "$(random 18)"
keep webhook_secret "whsec_$(head -c 32 /dev/urandom | base64 | tr -d '\n')"
keep postgres_password "$(random 24)"
keep database_url "postgresql+psycopg://longhand:$(cat secrets/postgres_password)@postgres/longhand"
keep redis_password "$(random 24)"
keep redis_url "redis://:$(cat secrets/redis_password)@redis:6379/0"
keep grafana_password "$(random 18)"
# The bundled object storage, and its one client in the form of aws_credentials; both are made from the same two words.
if [ ! -e secrets/s3_identities ]; then
    key="$(random 10)" secret="$(random 24)"
    rm -f secrets/s3_credentials
    keep s3_credentials "[default]
aws_access_key_id = $key
aws_secret_access_key = $secret"
    keep s3_identities '{"identities": [{"name": "longhand",
  "credentials": [{"accessKey": "'"$key"'", "secretKey": "'"$secret"'"}],
  "actions": ["Read:recordings", "Write:recordings", "List:recordings"]}]}'
fi
# Yours to fill in: a token of the Hugging Face hub, and credentials for S3 as Amazon's tools write them.
keep hf_token ""
keep aws_credentials ""

if ! grep -qs '^SECRETS_DIR=' .env; then
    [ ! -s .env ] || [ -z "$(tail -c 1 .env)" ] || echo >>.env
    echo 'SECRETS_DIR=./secrets' >>.env
fi
echo "Made in secrets:${made:- nothing, all of it was there}. The API's key: secrets/api_key. Flower's password: secrets/flower_password."
