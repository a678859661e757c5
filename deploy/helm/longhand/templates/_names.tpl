{{- define "longhand.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for the longest that is put behind it. */}}
{{- define "longhand.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "longhand.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes of a part. (root, component) */}}
{{- define "longhand.selector" -}}
app.kubernetes.io/name: {{ include "longhand.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "longhand.labels" -}}
{{ include "longhand.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: longhand
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* name and labels of an object. (root, component, name: what stands behind the release's) */}}
{{- define "longhand.metadata" -}}
name: {{ include "longhand.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "longhand.labels" . | nindent 2 }}
{{- end -}}

{{- define "longhand.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "longhand.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "longhand.secret" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-secrets" (include "longhand.fullname" .)) -}}
{{- end -}}

{{/* Where the secrets are before an upgrade has replaced anything. */}}
{{- define "longhand.hookSecret" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-migrate" (include "longhand.fullname" .)) -}}
{{- end -}}

{{/* (root, target) */}}
{{- define "longhand.image" -}}
{{- $image := .root.Values.image -}}
{{- $digest := get $image.digests .target -}}
{{- printf "%s-%s%s" $image.prefix .target (ternary (printf "@%s" $digest) (printf ":%s" (default .root.Chart.AppVersion $image.tag)) (ne $digest "")) -}}
{{- end -}}

{{/* A setting as text: a number that YAML has made a fraction of is written as it was. */}}
{{- define "longhand.text" -}}
{{- if kindIs "slice" . -}}{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}
{{- else -}}{{ . }}
{{- end -}}
{{- end -}}

{{/* Whether a setting is on, however it was written. (root, name) */}}
{{- define "longhand.on" -}}
{{- if has (get .root.Values.settings .name | toString | lower) (list "true" "1" "yes" "on") }}true{{ end -}}
{{- end -}}

{{/* The secrets there are, by the names of their files: a list in JSON. */}}
{{- define "longhand.secretKeys" -}}
{{- if .Values.secrets.existingSecret -}}
{{- .Values.secrets.existingKeys | toJson -}}
{{- else -}}
{{- keys (include "longhand.secretValues" . | fromJson) | sortAlpha | toJson -}}
{{- end -}}
{{- end -}}

{{/* The secrets that were given, with the addresses of what this chart itself starts: an object in JSON. */}}
{{- define "longhand.secretValues" -}}
{{- $values := dict -}}
{{- range $name, $value := .Values.secrets.values }}{{ if $value }}{{ $_ := set $values $name $value }}{{ end }}{{ end -}}
{{- if and .Values.redis.enabled $values.redis_password (not $values.redis_url) -}}
{{- $_ := set $values "redis_url" (printf "redis://:%s@%s-redis:6379/0" $values.redis_password (include "longhand.fullname" .)) -}}
{{- end -}}
{{- if and .Values.postgres.enabled $values.postgres_password (not $values.database_url) -}}
{{- $_ := set $values "database_url" (printf "postgresql+psycopg://longhand:%s@%s-postgres/longhand" $values.postgres_password (include "longhand.fullname" .)) -}}
{{- end -}}
{{- toJson $values -}}
{{- end -}}

{{/* As a Secret has them. (root; only: names of those that are wanted, or nothing) */}}
{{- define "longhand.secretData" -}}
{{- $only := .only -}}
{{- range $name, $value := include "longhand.secretValues" .root | fromJson }}
{{- if or (not $only) (has $name $only) }}
{{ $name }}: {{ $value | b64enc }}
{{- end }}
{{- end }}
{{- end -}}

{{/* How many Pods of a part there may be at once. */}}
{{- define "longhand.most" -}}
{{- if and .autoscaling (ne .autoscaling.kind "none") }}{{ .autoscaling.maxReplicas | int }}{{ else }}{{ .replicas | int }}{{ end -}}
{{- end -}}

{{/* The queue of a worker's stages, as a pattern for Prometheus. A test holds it equal to the stages. */}}
{{- define "longhand.stages" -}}
{{- get (dict "cpu" "chunk|export|merge|normalise" "net" "fetch" "gpu" "detect_language|transcribe" "diarise" "diarise") . -}}
{{- end -}}
