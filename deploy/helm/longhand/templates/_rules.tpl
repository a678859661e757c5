{{/* The queues that no worker may serve for a while, since every one of them scales from zero: a list in JSON. */}}
{{- define "longhand.fromZero" -}}
{{- $zero := list -}}
{{- $always := list -}}
{{- range $name, $worker := .Values.workers -}}
{{- if $worker.enabled -}}
{{- $auto := $worker.autoscaling | default (dict "kind" "none") -}}
{{- if and (eq $auto.kind "keda") (eq (int $auto.minReplicas) 0) }}{{ $zero = append $zero $worker.queue }}{{ else }}{{ $always = append $always $worker.queue }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $always }}{{ $zero = without $zero . }}{{ end -}}
{{- uniq $zero | toJson -}}
{{- end -}}

{{/* An expression that looks at the series of this installation alone. (expr, matchers) */}}
{{- define "longhand.ours" -}}
{{- if .matchers -}}
{{- $expr := regexReplaceAll "\\b(longhand_[a-z0-9_]+|up)\\{" .expr "${1}{@@," -}}
{{- regexReplaceAll "\\b(longhand_[a-z0-9_]+)($|[^a-z0-9_{])" $expr "${1}{@@}${2}" | replace "@@" .matchers -}}
{{- else -}}
{{- .expr -}}
{{- end -}}
{{- end -}}

{{/*
The groups of a file of rules, made this installation's: its series, its name on the alerts. Where a queue scales from
zero its pages wait for a machine and a model to come. (root, file)
*/}}
{{- define "longhand.rules" -}}
{{- $v := .root.Values -}}
{{- $found := fromYaml .file -}}
{{- $zero := list -}}
{{- range include "longhand.fromZero" .root | fromJsonArray }}{{ $zero = append $zero (printf `label_replace(vector(1), "queue", "%s", "", "")` .) }}{{ end -}}
{{- range $group := $found.groups -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- $_ := set $rule "expr" (include "longhand.ours" (dict "expr" $rule.expr "matchers" $v.prometheus.matchers)) -}}
{{- $_ := set $rule "labels" (merge (dict "namespace" $.root.Release.Namespace "release" $.root.Release.Name) $rule.labels) -}}
{{- if and $zero (eq $rule.labels.severity "page") (contains "by (queue)" $rule.expr) -}}
{{- $late := deepCopy $rule -}}
{{- $_ := set $rule "expr" (printf "(%s) unless on (queue) (%s)" (trim $rule.expr) (join " or " $zero)) -}}
{{- $_ := set $late "expr" (printf "(%s) and on (queue) (%s)" (trim $late.expr) (join " or " $zero)) -}}
{{- $_ := set $late "for" $v.metrics.rules.fromZero -}}
{{- $rules = append $rules $late -}}
{{- end -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- $_ := set $group "rules" $rules -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}
