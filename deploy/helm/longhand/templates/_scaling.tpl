{{/* How many times the target the oldest work has waited; what is meant to wait does not count. (root, queue) */}}
{{- define "longhand.waitQuery" -}}
{{- $m := .root.Values.prometheus.matchers -}}
max(longhand_queue_oldest_message_seconds{queue="{{ .queue }}",priority!="low"{{ with $m }},{{ . }}{{ end }}}) / max(longhand_queue_wait_target_seconds{ {{- $m -}} })
{{- end -}}

{{/*
How many workers the work of the last minutes kept busy. A trace is added while there is any job, so that the last
worker does not go, and one comes for work that is meant to wait. (root, queue)
*/}}
{{- define "longhand.busyQuery" -}}
{{- $m := .root.Values.prometheus.matchers -}}
(sum(rate(longhand_stage_duration_seconds_sum{stage=~"{{ include "longhand.stages" .queue }}"{{ with $m }},{{ . }}{{ end }}}[10m])) or vector(0)) + (clamp_max(sum(longhand_jobs{status=~"queued|running"{{ with $m }},{{ . }}{{ end }}}), 0.01) or vector(0))
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
        target: {type: AverageValue, averageValue: 700m}
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
    {{- include "longhand.trigger" (merge (dict "name" "wait" "type" "Value" "threshold" "1" "query" (include "longhand.waitQuery" (dict "root" .root "queue" .part.queue))) .) | nindent 4 }}
    {{- include "longhand.trigger" (merge (dict "name" "busy" "type" "AverageValue" "threshold" "0.7" "query" (include "longhand.busyQuery" (dict "root" .root "queue" .part.queue))) .) | nindent 4 }}
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
