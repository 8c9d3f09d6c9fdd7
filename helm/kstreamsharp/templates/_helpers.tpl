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
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
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
{{- if and (not $kafka) (or $auto (gt (int .Values.replicas) 1)) }}
{{- fail "More than one pod needs Kafka: set config.Kafka.BootstrapServers." }}
{{- end }}
{{- if and (not $kafka) .Values.config.Kafka }}
{{- fail "config.Kafka is set and names no cluster: set config.Kafka.BootstrapServers." }}
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

{{- /* 1654 is the user `app` of Microsoft's images. */}}
{{- define "kstreamsharp.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1654
runAsGroup: 1654
fsGroup: 1654
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "kstreamsharp.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
