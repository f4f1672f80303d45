{{/* Names and labels. `taskledger.labels` and `taskledger.selector` take (dict "root" $ "component" "api"). */}}

{{- define "taskledger.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "taskledger.selector" -}}
app.kubernetes.io/name: {{ include "taskledger.fullname" .root }}-{{ .component }}
{{- end -}}

{{- define "taskledger.labels" -}}
{{- if .component }}
{{- include "taskledger.selector" . }}
{{ end -}}
app.kubernetes.io/part-of: {{ include "taskledger.fullname" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* Of what `kubectl apply -l` sends before the rest of an upgrade. */}}
{{- define "taskledger.first" -}}
app.kubernetes.io/component: migration # applied before the rest of an upgrade, as the migration needs it
{{- end -}}

{{- define "taskledger.podLabels" -}}
{{ include "taskledger.selector" . }}
app.kubernetes.io/part-of: {{ include "taskledger.fullname" .root }}
{{- with .root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "taskledger.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "taskledger.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Takes (dict "root" $ "name" "taskledger-api"). */}}
{{- define "taskledger.image" -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end }}{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{/* The name that a worker of `workers` adds to the component; the one of `worker` adds none. */}}
{{- define "taskledger.workers" -}}
{{- $made := dict "worker" .Values.worker -}}
{{- range $name, $own := .Values.workers -}}
{{- $made = set $made (printf "worker-%s" $name) (mergeOverwrite (deepCopy $.Values.worker) $own) -}}
{{- end -}}
{{- toYaml $made -}}
{{- end -}}
