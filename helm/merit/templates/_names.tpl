{{- define "merit.name" -}}
{{- if contains "merit" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-merit" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "merit.labels" -}}
app.kubernetes.io/name: merit
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "merit.selector" -}}
app.kubernetes.io/name: merit
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "merit.tokenSecret" -}}
{{ .Values.pushToken.existingSecret | default (printf "%s-push-token" (include "merit.name" .)) }}
{{- end }}

{{- define "merit.tlsSecret" -}}
{{ .Values.adminTLS.existingSecret | default (printf "%s-admin-tls" (include "merit.name" .)) }}
{{- end }}

{{- define "merit.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "merit.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
