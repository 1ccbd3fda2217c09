{{- define "convnext.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "convnext.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "convnext.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "convnext.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "convnext.selector" -}}
app.kubernetes.io/name: {{ include "convnext.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "convnext.labels" -}}
{{ include "convnext.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "convnext.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "convnext.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{- define "convnext.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- /* The file of --config. */ -}}
{{- define "convnext.toml" -}}
models = {{ .Values.server.models | toJson }}
device = {{ .Values.server.device | default (ternary "cuda" "cpu" .Values.gpu.enabled) | toJson }}
precision = {{ .Values.server.precision | toJson }}
calibrate = {{ .Values.server.calibrate | toJson }}
log-format = {{ .Values.server.logFormat | toJson }}
max-connection-age = {{ .Values.server.maxConnectionAge | toJson }}
drain-delay = "{{ .Values.drain.delaySeconds }}s"
drain-timeout = "{{ .Values.drain.timeoutSeconds }}s"
{{- with .Values.server.extra }}
{{ . | trim }}
{{- end }}
{{- end }}

{{- /* Whether pods ask the hub. */ -}}
{{- define "convnext.asksHub" -}}
{{- if kindIs "bool" .Values.networkPolicy.hub -}}
{{- .Values.networkPolicy.hub -}}
{{- else if eq .Values.modelVolume.type "pull" -}}
true
{{- else -}}
{{- contains "hub:" (join "," .Values.server.models) -}}
{{- end -}}
{{- end }}

{{- define "convnext.scheme" -}}
{{- ternary "HTTPS" "HTTP" (ne .Values.tls.secret "") -}}
{{- end }}

{{- define "convnext.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Variables by which the hub's library is found, for the server and for what fetches before it. */ -}}
{{- define "convnext.hubEnv" -}}
- name: HF_HOME
  value: /cache/huggingface
{{- with .Values.modelVolume.tokenSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.modelVolume.tokenKey }}
{{- end }}
{{- end }}

{{- /* The mean time of an image in the queue, over all pods, in seconds; 0 without traffic. */ -}}
{{- define "convnext.queueQuery" -}}
{{- $pods := printf `namespace="%s",pod=~"%s-[a-z0-9]+-[a-z0-9]+",stage="queue"` .Release.Namespace (include "convnext.fullname" .) -}}
sum(rate(convnext_stage_duration_seconds_sum{ {{- $pods -}} }[1m])) / clamp_min(sum(rate(convnext_stage_duration_seconds_count{ {{- $pods -}} }[1m])), 1e-9)
{{- end }}

{{- /* How fast pods come and go, for either autoscaler. */ -}}
{{- define "convnext.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - { type: Percent, value: 100, periodSeconds: 30 }
    - { type: Pods, value: 2, periodSeconds: 30 }
  selectPolicy: Max
scaleDown:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleDownSeconds }}
  policies:
    - { type: Pods, value: 1, periodSeconds: 60 }
{{- end }}
