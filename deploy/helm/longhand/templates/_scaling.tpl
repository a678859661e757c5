{{/* Tasks that one Pod of a worker does at a time. (root, part) */}}
{{- define "longhand.concurrency" -}}
{{- $threads := get .root.Values.settings "NET_THREADS" | default 32 -}}
{{- .part.concurrency | default (ternary $threads 1 (eq .part.queue "net")) | include "longhand.text" -}}
{{- end -}}

{{/* Processes that the jobs there are may bring; +Inf while nobody knows of jobs. (root, part) */}}
{{- define "longhand.allowed" -}}
{{ .part.autoscaling.perJob | default 2 }} * scalar(sum(longhand_jobs{status=~"queued|running"{{ with .root.Values.prometheus.matchers }},{{ . }}{{ end }}}) or vector(Inf))
{{- end -}}

{{/*
How many times the target the oldest work has waited; what is meant to wait does not count. On the queue of stages that
work in chunks no more than brings what is allowed: the chunks of one recording wait for each other. (root, part)
*/}}
{{- define "longhand.waitQuery" -}}
{{- $m := .root.Values.prometheus.matchers -}}
{{- $waited := printf "max(longhand_queue_oldest_message_seconds{queue=\"%s\",priority!=\"low\"%s}) / max(longhand_queue_wait_target_seconds{%s})" .part.queue (ternary (printf ",%s" $m) "" (ne $m "")) $m -}}
{{- if eq .part.queue "gpu" -}}
clamp_max({{ $waited }}, {{ include "longhand.allowed" . }} / scalar(clamp_min(sum(longhand_worker_processes{queue="{{ .part.queue }}"{{ with $m }},{{ . }}{{ end }}}) or vector(0), 0.1)))
{{- else -}}
{{ $waited }}
{{- end -}}
{{- end -}}

{{/*
How many processes the work of the last minutes kept busy, of which 70 % are to be; where it is done in chunks, no more
than makes what is allowed. It is never nothing while there is a job, so that the last worker does not go, and one comes
for work that is meant to wait. (root, part)
*/}}
{{- define "longhand.busyQuery" -}}
{{- $m := .root.Values.prometheus.matchers -}}
{{- $busy := printf "sum(rate(longhand_stage_duration_seconds_sum{stage=~\"%s\"%s}[10m]))" (include "longhand.stages" .part.queue) (ternary (printf ",%s" $m) "" (ne $m "")) -}}
{{- if eq .part.queue "gpu" }}{{ $busy = printf "clamp_max(%s, 0.7 * %s)" $busy (include "longhand.allowed" .) }}{{ end -}}
clamp_min({{ $busy }} or vector(0), scalar(clamp_max(sum(longhand_jobs{status=~"queued|running"{{ with $m }},{{ . }}{{ end }}}), 0.01) or vector(0)))
{{- end -}}

{{/* Up at once, down slowly: a worker that goes hands back what it has begun, and a new one has models to load. */}}
{{- define "longhand.behaviour" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - {type: Percent, value: 100, periodSeconds: 60}
    - {type: Pods, value: 2, periodSeconds: 60}
scaleDown:
  stabilizationWindowSeconds: {{ ternary 300 600 (eq .part.autoscaling.kind "cpu") }}
  policies:
    - {type: Pods, value: 1, periodSeconds: 120}
{{- end -}}

{{/* (root, component, part) */}}
{{- define "longhand.hpa" }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "longhand.metadata" (dict "root" .root "component" .component "name" .component) | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "longhand.fullname" .root }}-{{ .component }}}
  minReplicas: {{ .part.autoscaling.minReplicas }}
  maxReplicas: {{ .part.autoscaling.maxReplicas }}
  behavior:
    {{- include "longhand.behaviour" . | nindent 4 }}
  metrics:
    {{- if eq .part.autoscaling.kind "cpu" }}
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .part.autoscaling.targetCPU | default 75 }}}}
    {{- else }}
    # What examples/prometheus-adapter.yaml makes of the figures.
    - type: External
      external:
        metric: {name: longhand_wait_ratio, selector: {matchLabels: {queue: {{ .part.queue }}}}}
        target: {type: Value, value: "1"}
    - type: External
      external:
        metric:
          name: longhand_busy_workers
          selector: {matchExpressions: [{key: stage, operator: In, values: {{ include "longhand.stages" .part.queue | splitList "|" | toJson }}}]}
        target: {type: AverageValue, averageValue: {{ include "longhand.concurrency" . | int | mul 700 }}m}
    {{- end }}
{{- end -}}

{{- define "longhand.keda" }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "longhand.metadata" (dict "root" .root "component" .component "name" .component) | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "longhand.fullname" .root }}-{{ .component }}}
  minReplicaCount: {{ .part.autoscaling.minReplicas }}
  maxReplicaCount: {{ .part.autoscaling.maxReplicas }}
  pollingInterval: 15
  # Before the last one goes, where minReplicas is 0.
  cooldownPeriod: 900
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        {{- include "longhand.behaviour" . | nindent 8 }}
  triggers:
    {{- include "longhand.trigger" (merge (dict "name" "wait" "type" "Value" "threshold" "1" "query" (include "longhand.waitQuery" .)) .) | nindent 4 }}
    {{- include "longhand.trigger" (merge (dict "name" "busy" "type" "AverageValue" "threshold" (include "longhand.concurrency" . | int | mulf 0.7 | toString) "query" (include "longhand.busyQuery" .)) .) | nindent 4 }}
{{- end -}}

{{- define "longhand.trigger" -}}
- type: prometheus
  name: {{ .name }}
  metricType: {{ .type }}
  metadata:
    serverAddress: {{ .root.Values.prometheus.address | quote }}
    query: {{ .query | squote }}
    threshold: {{ .threshold | quote }}
    activationThreshold: "0"
    {{- with .root.Values.prometheus.authentication.modes }}
    authModes: {{ . | quote }}
    {{- end }}
  {{- with .root.Values.prometheus.authentication.name }}
  authenticationRef: {name: {{ . }}}
  {{- end }}
{{- end -}}
