{{/* The port that an address means; nothing is said of one that is none, since it may have a password in it. */}}
{{- define "longhand.port" -}}
{{- $usual := dict "http" "80" "https" "443" "redis" "6379" "rediss" "6379" "amqp" "5672" "amqps" "5671" "postgresql" "5432" -}}
{{- $said := regexReplaceAll "^[^/]*://([^/?#]*@)?([^/?#]*).*$" . "${2}" | regexFind ":[0-9]+$" | trimPrefix ":" -}}
{{- $said | default (get $usual (regexFind "^[a-z]+" .)) | default "0" -}}
{{- end -}}

{{/* The ports of what Longhand stands on outside of this chart, as far as they can be known: a list in JSON. */}}
{{- define "longhand.backendPorts" -}}
{{- $v := .Values -}}
{{- $ports := list 5671 5672 -}}
{{- $known := ternary (dict) (include "longhand.secretValues" . | fromJson) (ne $v.secrets.existingSecret "") -}}
{{- range splitList ";" ($known.broker_url | default "") }}{{ if . }}{{ $ports = append $ports (include "longhand.port" . | int) }}{{ end }}{{ end -}}
{{- if not $v.redis.enabled }}{{ $ports = append $ports (include "longhand.port" ($known.redis_url | default "redis:") | int) }}{{ end -}}
{{- if not $v.postgres.enabled }}{{ $ports = append $ports (include "longhand.port" ($known.database_url | default "postgresql:") | int) }}{{ end -}}
{{- range include "longhand.saidPorts" . | fromJson }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- if include "longhand.on" (dict "root" . "name" "ENABLE_TRACING") }}{{ $ports = concat $ports (list 4317 4318) }}{{ end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* The ports of addresses in the values that are no secrets, by the address's name: an object in JSON. */}}
{{- define "longhand.saidPorts" -}}
{{- $found := dict -}}
{{- $collector := get .Values.settings "OTEL_EXPORTER_OTLP_ENDPOINT" -}}
{{- if .Values.storage.url }}{{ $_ := set $found (ternary "storage.endpointUrl" "storage.url" (ne .Values.storage.endpointUrl "")) (include "longhand.port" (.Values.storage.endpointUrl | default "https:")) }}{{ end -}}
{{- if and $collector (include "longhand.on" (dict "root" . "name" "ENABLE_TRACING")) -}}
{{- $_ := set $found "settings.OTEL_EXPORTER_OTLP_ENDPOINT" (include "longhand.port" $collector) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Whether `egress` rules let a port through; one that is named by a word may be any. (rules, port) */}}
{{- define "longhand.letThrough" -}}
{{- $port := int .port -}}
{{- range .rules -}}
{{- if not .ports }}true{{ end -}}
{{- range .ports -}}
{{- if eq (.protocol | default "TCP") "TCP" -}}
{{- if or (not (hasKey . "port")) (kindIs "string" .port) }}true{{ else if and (ge $port (int .port)) (le $port (int (.endPort | default .port))) }}true{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
