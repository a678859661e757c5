{{/* Of every container: no rights, and a root file system that cannot be written. */}}
{{- define "longhand.closed" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Of every Pod. (user) */}}
{{- define "longhand.closedPod" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
# A large volume is not gone through each time it is mounted.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "longhand.environment" -}}
{{- $root := .root -}}
- {name: BIND_HOST, value: {{ $root.Values.bindHost | quote }}}
- {name: BIND_PORT, value: "8081"}
- {name: FLOWER_HOST, value: {{ $root.Values.bindHost | quote }}}
- {name: FLOWER_PORT, value: "5555"}
- {name: DATA_DIR, value: {{ .dataDir | default "/data" }}}
{{- range $key := .secrets }}
{{- if eq $key "otlp_headers" }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ include "longhand.secret" $root }}, key: otlp_headers}}
{{- else }}
- {name: {{ ternary "AWS_SHARED_CREDENTIALS" (upper $key) (eq $key "aws_credentials") }}_FILE, value: /run/secrets/{{ $key }}}
{{- end }}
{{- end }}
{{- if .bare }}
{{- range $name, $value := include "longhand.settings" $root | fromYaml }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- if .record }}
{{- if $root.Values.storage.url }}
- {name: STORAGE_URL, value: {{ $root.Values.storage.url | quote }}}
{{- with $root.Values.storage.endpointUrl }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- with $root.Values.storage.region }}
- {name: AWS_REGION, value: {{ . | quote }}}
{{- end }}
{{- with $root.Values.storage.checksums }}
- {name: AWS_REQUEST_CHECKSUM_CALCULATION, value: {{ . }}}
- {name: AWS_RESPONSE_CHECKSUM_VALIDATION, value: {{ . }}}
{{- end }}
{{- else if not .bare }}
- {name: STORAGE_URL, value: file:///storage/jobs}
{{- end }}
{{- end }}
{{- range $name, $value := .env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- with concat $root.Values.pods.extraEnv (.part.extraEnv | default list) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "longhand.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .secrets }}
- {name: secrets, mountPath: /run/secrets, readOnly: true}
{{- end }}
{{- if .data }}
- {name: data, mountPath: /data}
{{- end }}
{{- if and .record (not .bare) .root.Values.storage.persistence.enabled }}
- {name: storage, mountPath: /storage}
{{- end }}
{{- if .part.models }}
- {name: models, mountPath: /models}
{{- end }}
{{- with concat .root.Values.pods.extraVolumeMounts (.part.extraVolumeMounts | default list) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "longhand.volumes" -}}
{{- $v := .root.Values -}}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- $files := without .secrets "otlp_headers" }}
{{- if $files }}
- name: secrets
  secret:
    secretName: {{ ternary (include "longhand.hookSecret" .root) (include "longhand.secret" .root) (.bare | default false) }}
    {{- if .bare }}
    # One that is not there is complained of by the program, in a sentence; Kubernetes would wait for it.
    optional: true
    {{- end }}
    defaultMode: 0440
    items:
      {{- range $files }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}
{{- with .data }}
- name: data
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .record (not .bare) $v.storage.persistence.enabled }}
- name: storage
  persistentVolumeClaim: {claimName: {{ $v.storage.persistence.existingClaim | default (printf "%s-storage" (include "longhand.fullname" .root)) }}}
{{- end }}
{{- if .part.models }}
- name: models
  {{- if $v.models.persistence.enabled }}
  persistentVolumeClaim: {claimName: {{ $v.models.persistence.existingClaim | default (printf "%s-models" (include "longhand.fullname" .root)) }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ $v.models.size }}}
  {{- end }}
{{- end }}
{{- with concat $v.pods.extraVolumes (.part.extraVolumes | default list) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* One container. (as longhand.pod; name, command, resources) */}}
{{- define "longhand.container" -}}
name: {{ .containerName }}
image: {{ include "longhand.image" (dict "root" .root "target" .image) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: {{ toJson .command }}
{{- if not .bare }}
envFrom:
  - configMapRef: {name: {{ include "longhand.fullname" .root }}-settings}
{{- end }}
env:
  {{- include "longhand.environment" . | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  {{- include "longhand.closed" . | nindent 2 }}
volumeMounts:
  {{- include "longhand.mounts" . | nindent 2 }}
{{- end -}}

{{/*
A Pod's template, metadata and all.
root, component, image; part: its values; command; secrets: those it is given, if they are there; record: whether it
reads and writes jobs; data: the volume of its DATA_DIR; env: more of its environment; more: ports, probes and the like
of its container, as YAML; grace: seconds to stop in; alone: whether the tables are not looked after first; bare:
whether it runs before anything of this release is there, so that it can lean on nothing of it (and mounts no recordings).
*/}}
{{- define "longhand.pod" -}}
{{- $v := .root.Values -}}
{{- $there := include "longhand.secretKeys" .root | fromJsonArray -}}
{{- $mine := list -}}
{{- range .secrets }}{{ if has . $there }}{{ $mine = append $mine . }}{{ end }}{{ end -}}
{{- $ctx := merge (dict "secrets" $mine "containerName" .component "resources" .resources) (omit . "secrets" "resources") -}}
metadata:
  annotations:
    checksum/settings: {{ include "longhand.settings" .root | sha256sum }}
    checksum/secrets: {{ ternary (.root.Values.secrets.existingSecret) (include "longhand.secretValues" .root) (ne $v.secrets.existingSecret "") | sha256sum }}
    {{- with merge (dict) (.part.podAnnotations | default dict) $v.pods.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "longhand.labels" . | nindent 4 }}
    {{- if and .record (not .bare) $v.storage.oneNode }}
    longhand-one-node: "true"
    {{- end }}
    {{- with merge (dict) (.part.podLabels | default dict) $v.pods.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ ternary "default" (include "longhand.serviceAccount" .root) (and .bare $v.serviceAccount.create | default false) }}
  automountServiceAccountToken: false
  # What Kubernetes would tell of other Services by variables could be taken for settings (FLOWER_PORT).
  enableServiceLinks: false
  # Somebody has to take leave of processes whose parents were killed.
  shareProcessNamespace: true
  securityContext:
    {{- include "longhand.closedPod" $v.pods.user | nindent 4 }}
  terminationGracePeriodSeconds: {{ .grace }}
  {{- with $v.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - {name: {{ . }}}
    {{- end }}
  {{- end }}
  {{- with .part.priorityClassName | default $v.pods.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .part.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with merge (dict) (.part.nodeSelector | default dict) $v.pods.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with concat $v.pods.tolerations (.part.tolerations | default list) (.tolerations | default list) }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $affinity := .part.affinity | default dict }}
  {{- if and .record (not .bare) $v.storage.oneNode }}
  {{- $near := dict "labelSelector" (dict "matchLabels" (dict "longhand-one-node" "true" "app.kubernetes.io/instance" .root.Release.Name)) "topologyKey" "kubernetes.io/hostname" }}
  {{- $affinity = merge (dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $near))) $affinity }}
  {{- end }}
  {{- with $affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .part.topologySpreadConstraints }}
    {{- toYaml .part.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "longhand.selector" $ctx | nindent 10 }}
    {{- end }}
    {{- end }}
  {{- if and .record (not .alone) }}
  initContainers:
    # The tables, for whoever comes first; the others find it done.
    - {{- include "longhand.container" (merge (dict "containerName" "tables" "command" (list "python" "-m" "store.upgrade") "resources" $v.migrate.resources) (omit $ctx "containerName" "command" "resources")) | nindent 6 }}
  {{- end }}
  containers:
    - {{- include "longhand.container" $ctx | nindent 6 }}
      {{- .more | nindent 6 }}
  volumes:
    {{- include "longhand.volumes" $ctx | nindent 4 }}
{{- end -}}
