{{/* What keeps the chart from being rendered, in one sentence each. Whatever is rendered includes this. */}}
{{- define "longhand.check" -}}
{{- $v := .Values -}}
{{- if and $v.secrets.existingSecret $v.secrets.values -}}
{{- fail "secrets.existingSecret and secrets.values are both set, and only one can count: leave one of them out." -}}
{{- end -}}
{{- range $name, $value := $v.secrets.values -}}
{{- if regexMatch "(?i)change.?me" ($value | toString) -}}
{{- fail (printf "secrets.values.%s is still a placeholder: make one of your own, as `openssl rand -hex 24` does." $name) -}}
{{- end -}}
{{- end -}}
{{- $there := include "longhand.secretKeys" . | fromJsonArray -}}
{{- $where := ternary "secrets.existingKeys" "secrets.values" (ne $v.secrets.existingSecret "") -}}
{{- $wanted := list "api_key" -}}
{{- if $v.flower.enabled }}{{ $wanted = append $wanted "flower_password" }}{{ end -}}
{{- if $v.redis.enabled }}{{ $wanted = append $wanted "redis_password" }}{{ end -}}
{{- if $v.postgres.enabled }}{{ $wanted = append $wanted "postgres_password" }}{{ end -}}
{{- range concat $wanted (list "database_url" "redis_url") -}}
{{- if not (has . $there) -}}
{{- fail (printf "%s has no %s: put it into a Secret of yours (secrets.existingSecret, secrets.existingKeys) or into secrets.values; README.md says how." $where .) -}}
{{- end -}}
{{- end -}}
{{- include "longhand.checkStorage" . -}}
{{- include "longhand.checkWorkers" . -}}
{{- if and $v.networkPolicy.enabled (not (kindIs "invalid" $v.networkPolicy.backends)) -}}
{{- $rules := concat $v.networkPolicy.backends $v.networkPolicy.extraEgress -}}
{{- range $name, $port := include "longhand.saidPorts" . | fromJson -}}
{{- if not (include "longhand.letThrough" (dict "rules" $rules "port" $port)) -}}
{{- fail (printf "networkPolicy.backends lets nothing through to port %s, where %s is: add it there, or leave networkPolicy.backends out." $port $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) }}{{ fail "ingress.host is empty: name the host that clients use." }}{{ end -}}
{{- if and $v.ingress.enabled $v.ingress.tls.enabled (not $v.ingress.tls.secretName) -}}
{{- fail "ingress.tls.secretName is empty: name the Secret with the certificate, or set ingress.tls.enabled=false behind something that has one." -}}
{{- end -}}
{{- if and $v.route.enabled (not $v.route.parentRefs) }}{{ fail "route.parentRefs is empty: name the Gateway." }}{{ end -}}
{{- if and (or $v.metrics.serviceMonitor.enabled $v.metrics.rules.enabled) (not $v.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor and metrics.rules need metrics.enabled=true: there is nothing to ask." -}}
{{- end -}}
{{- end -}}

{{- define "longhand.checkStorage" -}}
{{- $v := .Values -}}
{{- $shared := $v.storage.persistence -}}
{{- if and $v.storage.url $shared.enabled -}}
{{- fail "storage.url and storage.persistence.enabled are both set: recordings are kept in one place." -}}
{{- else if not (or $v.storage.url $shared.enabled) -}}
{{- fail "Nowhere to keep recordings: set storage.url (s3://bucket/prefix) or storage.persistence.enabled=true." -}}
{{- end -}}
{{- if and $shared.enabled (not (has "ReadWriteMany" $shared.accessModes)) (not $v.storage.oneNode) -}}
{{- fail "All Pods need the volume of storage.persistence, on several machines: it has to be ReadWriteMany. Or use S3 (storage.url), or keep everything on one machine (storage.oneNode=true)." -}}
{{- end -}}
{{- $pods := 0 -}}
{{- range $v.workers }}{{ if and .enabled .models }}{{ $pods = add $pods (include "longhand.most" .) }}{{ end }}{{ end -}}
{{- $models := $v.models.persistence -}}
{{- if and $models.enabled (gt (int $pods) 1) (not (has "ReadWriteMany" $models.accessModes)) (not $v.storage.oneNode) -}}
{{- fail "Several Pods may need the volume of models.persistence, on several machines: it has to be ReadWriteMany. Without it each Pod fetches its own models." -}}
{{- end -}}
{{- end -}}

{{- define "longhand.checkWorkers" -}}
{{- $v := .Values -}}
{{- $served := list -}}
{{- range $name, $worker := $v.workers -}}
{{- if $worker.enabled -}}
{{- $served = append $served $worker.queue -}}
{{- with $worker.autoscaling -}}
{{- if ne .kind "none" -}}
{{- if gt (int .minReplicas) (int .maxReplicas) }}{{ fail (printf "workers.%s.autoscaling: minReplicas is more than maxReplicas." $name) }}{{ end -}}
{{- if and (eq .kind "keda") (not $v.prometheus.address) -}}
{{- fail (printf "workers.%s.autoscaling.kind is keda, which asks Prometheus: set prometheus.address." $name) -}}
{{- end -}}
{{- if and (ne .kind "keda") (lt (int .minReplicas) 1) }}{{ fail (printf "workers.%s.autoscaling.minReplicas can be 0 with kind: keda only." $name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and (eq ($worker.device | default "") "cuda") (hasKey $worker "image") (ne $worker.image "gpu") (ne $worker.image "diarise") -}}
{{- fail (printf "workers.%s has device: cuda and image: %s, which has no CUDA libraries: leave image out." $name $worker.image) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list "cpu" "net" "gpu" -}}
{{- if not (has . $served) }}{{ fail (printf "No worker serves the queue %s, so no job would end: enable one under workers." .) }}{{ end -}}
{{- end -}}
{{- if and (eq (get $v.settings "DIARISATION" | toString) "on") (not (has "diarise" $served)) -}}
{{- fail "settings.DIARISATION is on and no worker serves the queue diarise: set workers.diarise.enabled=true." -}}
{{- end -}}
{{- end -}}
