{{- define "kstreamsharp.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "kstreamsharp.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kstreamsharp.labels" -}}
{{ include "kstreamsharp.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The pods of the StatefulSet; the pod of `helm test` has another component. */}}
{{- define "kstreamsharp.pods" -}}
{{ include "kstreamsharp.selector" . }}
app.kubernetes.io/component: instance
{{- end }}

{{- define "kstreamsharp.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "kstreamsharp.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "kstreamsharp.name" .) }}
{{- end }}

{{- define "kstreamsharp.secret" -}}
{{- if .Values.secrets.existingSecret }}{{ .Values.secrets.existingSecret }}{{ else if .Values.secrets.values }}{{ include "kstreamsharp.name" . }}{{ end }}
{{- end }}

{{- define "kstreamsharp.kafka" -}}
{{ dig "Kafka" "BootstrapServers" "" .Values.config }}
{{- end }}

{{- /* A time as the host reads it, in whole seconds, rounded up: 100ms, 2s, 5m, 1h, hh:mm:ss or d.hh:mm:ss. */}}
{{- define "kstreamsharp.seconds" -}}
{{- $time := . }}
{{- if contains ":" $time }}
{{- $parts := splitList ":" $time }}
{{- $first := splitList "." (index $parts 0) }}
{{- $hours := int (last $first) }}
{{- if eq (len $first) 2 }}{{ $hours = add $hours (mul 24 (int (index $first 0))) }}{{ end }}
{{- add (mul 3600 $hours) (mul 60 (int (index $parts 1))) (ceil (float64 (index $parts 2))) }}
{{- else if hasSuffix "ms" $time }}{{ ceil (divf (float64 (trimSuffix "ms" $time)) 1000) | int }}
{{- else if hasSuffix "s" $time }}{{ ceil (float64 (trimSuffix "s" $time)) | int }}
{{- else if hasSuffix "m" $time }}{{ ceil (mulf (float64 (trimSuffix "m" $time)) 60) | int }}
{{- else }}{{ ceil (mulf (float64 (trimSuffix "h" $time)) 3600) | int }}
{{- end }}
{{- end }}

{{- /* What of the end of a pod is for its last snapshots. */}}
{{- define "kstreamsharp.snapshotSeconds" -}}
{{ include "kstreamsharp.seconds" (dig "Snapshots" "EndTimeout" "5s" .Values.config) }}
{{- end }}

{{- define "kstreamsharp.grace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}{{ add 25 (int (include "kstreamsharp.snapshotSeconds" .)) }}{{ else }}{{ int .Values.terminationGracePeriodSeconds }}{{ end }}
{{- end }}

{{- /* Workers where nothing else says how many: .NET would see the node's cores. Empty: the limit of the CPU says it. */}}
{{- define "kstreamsharp.workers" -}}
{{- $cpu := dig "requests" "cpu" "" .Values.resources | toString }}
{{- if and $cpu (not (dig "limits" "cpu" "" .Values.resources)) (not .Values.config.Workers) }}
{{- if hasSuffix "m" $cpu }}{{ ceil (divf (float64 (trimSuffix "m" $cpu)) 1000) | int }}{{ else }}{{ ceil (float64 $cpu) | int }}{{ end }}
{{- end }}
{{- end }}

{{- /* A nested map of settings as environment variables: A: {B: c} is A__B=c. Helm reads large numbers as floating point. */}}
{{- define "kstreamsharp.settings" -}}
{{- $prefix := .prefix }}
{{- range $name, $value := .settings }}
{{- if kindIs "map" $value }}
{{- include "kstreamsharp.settings" (dict "prefix" (printf "%s__%s" $prefix $name) "settings" $value) }}
{{- else }}
- name: {{ printf "%s__%s" $prefix $name }}
  value: {{ if kindIs "float64" $value }}{{ printf "%.0f" $value | quote }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the schema cannot say: how values go together. */}}
{{- define "kstreamsharp.check" -}}
{{- $kafka := include "kstreamsharp.kafka" . }}
{{- $shards := .Values.config.Shards }}
{{- $scaling := .Values.autoscaling }}
{{- $auto := ne $scaling.type "none" }}
{{- if and .Values.embedded (or $auto (gt (int .Values.replicas) 1)) }}
{{- fail "More than one pod needs Kafka: set config.Kafka.BootstrapServers." }}
{{- end }}
{{- $inSecret := or .Values.secrets.existingSecret (hasKey .Values.secrets.values "KStreamSharp__Kafka__BootstrapServers") }}
{{- if and (not $kafka) (not $inSecret) .Values.config.Kafka }}
{{- fail "config.Kafka is set and names no cluster: set config.Kafka.BootstrapServers." }}
{{- end }}
{{- if and (not $kafka) (not $inSecret) (not .Values.extraEnvFrom) (not .Values.embedded) }}
{{- fail "No broker is named: set config.Kafka.BootstrapServers, or, for a trial on a broker inside the pod, embedded=true." }}
{{- end }}
{{- if and $kafka .Values.embedded }}
{{- fail "embedded and config.Kafka.BootstrapServers: give one of them." }}
{{- end }}
{{- $drain := add 15 (int (include "kstreamsharp.snapshotSeconds" .)) }}
{{- if lt (int (include "kstreamsharp.grace" .)) (int (add $drain 5)) }}
{{- fail (printf "terminationGracePeriodSeconds %v is too short: the host takes up to %v s to end in order (15 s and config.Snapshots.EndTimeout), and a pod that is killed in the midst of it begins with a restore. Leave the value out, or give at least %v." .Values.terminationGracePeriodSeconds $drain (add $drain 5)) }}
{{- end }}
{{- if and $auto (not $shards) }}
{{- fail "Autoscaling needs config.Shards: there are never more replicas than shards." }}
{{- end }}
{{- if and $auto (gt (int $scaling.maxReplicas) (int $shards)) }}
{{- fail (printf "autoscaling.maxReplicas %v is more than config.Shards %v: a pod without a shard does nothing." $scaling.maxReplicas $shards) }}
{{- end }}
{{- if and $auto (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas %v is more than autoscaling.maxReplicas %v." $scaling.minReplicas $scaling.maxReplicas) }}
{{- end }}
{{- if and (eq $scaling.type "keda") (not $scaling.topics) }}
{{- fail "autoscaling.type keda needs autoscaling.topics: the flow's inputs, whose lag is looked at." }}
{{- end }}
{{- if and $shards (not $auto) (gt (int .Values.replicas) (int $shards)) }}
{{- fail (printf "replicas %v is more than config.Shards %v: a pod without a shard does nothing." .Values.replicas $shards) }}
{{- end }}
{{- if and .Values.secrets.existingSecret .Values.secrets.values }}
{{- fail "secrets.existingSecret and secrets.values: give one of them." }}
{{- end }}
{{- if and .Values.snapshotsVolume.existingClaim (dig "Snapshots" "Store" "" .Values.config) }}
{{- fail "snapshotsVolume.existingClaim and config.Snapshots.Store: give one of them." }}
{{- end }}
{{- if and .Values.tls.existingSecret (not (has (dig "Kafka" "Settings" "security.protocol" "" .Values.config | upper) (list "SSL" "SASL_SSL"))) }}
{{- fail "tls.existingSecret needs security.protocol SSL or SASL_SSL in config.Kafka.Settings." }}
{{- end }}
{{- end }}
