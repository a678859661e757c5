{{/* One server with one volume, for trials. */}}
{{- define "longhand.bundled" }}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "longhand.metadata" (dict "root" .root "component" .component "name" .component) | nindent 2 }}
spec:
  replicas: 1
  serviceName: {{ include "longhand.fullname" .root }}-{{ .component }}
  selector:
    matchLabels:
      {{- include "longhand.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "longhand.labels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ include "longhand.serviceAccount" .root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        {{- include "longhand.closedPod" 999 | nindent 8 }}
      terminationGracePeriodSeconds: {{ .grace }}
      containers:
        - name: {{ .component }}
          image: {{ .part.image | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          {{- with .command }}
          command: {{ toJson . }}
          {{- end }}
          {{- with .args }}
          args: {{ toJson . }}
          {{- end }}
          {{- with .env }}
          env:
            {{- range $name, $value := . }}
            - {name: {{ $name }}, value: {{ $value | quote }}}
            {{- end }}
          {{- end }}
          ports:
            - {name: {{ .component }}, containerPort: {{ .port }}}
          startupProbe: {exec: {command: {{ toJson .probe }}}, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 60}
          livenessProbe: {exec: {command: {{ toJson .probe }}}, periodSeconds: 20, timeoutSeconds: 10, failureThreshold: 6}
          readinessProbe: {exec: {command: {{ toJson .probe }}}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3}
          {{- with .stop }}
          lifecycle: {preStop: {exec: {command: {{ toJson . }}}}}
          {{- end }}
          resources:
            {{- toYaml .part.resources | nindent 12 }}
          securityContext:
            {{- include "longhand.closed" . | nindent 12 }}
          volumeMounts:
            - {name: files, mountPath: {{ .mount }}}
            - {name: secrets, mountPath: /run/secrets, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- range $path, $_ := .memory | default dict }}
            - {name: memory{{ replace "/" "-" $path }}, mountPath: {{ $path }}}
            {{- end }}
      volumes:
        - name: secrets
          secret:
            secretName: {{ include "longhand.secret" .root }}
            defaultMode: 0440
            items: [{key: {{ .component }}_password, path: {{ .component }}_password}]
        - name: tmp
          emptyDir: {medium: Memory, sizeLimit: 64Mi}
        {{- range $path, $size := .memory | default dict }}
        - name: memory{{ replace "/" "-" $path }}
          emptyDir: {medium: Memory, sizeLimit: {{ $size }}}
        {{- end }}
  volumeClaimTemplates:
    - metadata:
        name: files
        labels:
          {{- include "longhand.selector" . | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .part.persistence.storageClass }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources: {requests: {storage: {{ .part.persistence.size }}}}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "longhand.metadata" (dict "root" .root "component" .component "name" .component) | nindent 2 }}
spec:
  type: ClusterIP
  selector:
    {{- include "longhand.selector" . | nindent 4 }}
  ports:
    - {name: {{ .component }}, port: {{ .port }}, targetPort: {{ .component }}}
{{- end -}}
