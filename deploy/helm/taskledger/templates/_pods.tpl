{{/* What all pods have. Takes (dict "root" $ "component" "api" "of" .Values.api). */}}

{{- define "taskledger.podMetadata" -}}
metadata:
  labels:
    {{- include "taskledger.podLabels" . | nindent 4 }}
  {{- if or .root.Values.restartOnSettings .root.Values.podAnnotations }}
  annotations:
    {{- if .root.Values.restartOnSettings }}
    checksum/settings: {{ include "taskledger.settings" .root | sha256sum }}
    {{- end }}
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "taskledger.pod" -}}
serviceAccountName: {{ .account | default (include "taskledger.serviceAccount" .root) }}
automountServiceAccountToken: false
enableServiceLinks: false # they would set variables such as PORT for us
{{- with .of.stopSeconds }}
terminationGracePeriodSeconds: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - { name: {{ . }} }
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- $places := dict "priorityClassName" .root.Values.priorityClassName "nodeSelector" .root.Values.nodeSelector
      "tolerations" .root.Values.tolerations "affinity" .root.Values.affinity }}
{{- range $name, $value := $places }}
{{- with $value }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if .of.spread }}
topologySpreadConstraints:
  {{- range .of.spread }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: { {{ include "taskledger.selector" $ }} }
  {{- end }}
{{- end }}
{{- end -}}

{{/* What all containers have behind their command: settings, mounts, resources. `artifacts`: with that volume. */}}
{{- define "taskledger.container" -}}
{{- with .env -}}
env:
  {{- toYaml . | nindent 2 }}
{{ end -}}
envFrom:
  - configMapRef: { name: {{ .config | default (include "taskledger.fullname" .root) }} }
  {{- with .root.Values.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - { name: secrets, mountPath: /run/secrets/taskledger, readOnly: true }
  - { name: tmp, mountPath: /tmp }
  {{- if and .artifacts (not .root.Values.artifacts.url) }}
  - { name: artifacts, mountPath: /var/lib/taskledger/artifacts }
  {{- end }}
resources:
  {{- toYaml .of.resources | nindent 2 }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
{{- end -}}

{{- define "taskledger.volumes" -}}
volumes:
  {{- include "taskledger.secretsVolume" . | nindent 2 }}
  - name: tmp
    emptyDir: { medium: Memory, sizeLimit: 256Mi }
  {{- if and .artifacts (not .root.Values.artifacts.url) }}
  - name: artifacts
    persistentVolumeClaim:
      claimName: {{ .root.Values.artifacts.volume.existingClaim | default (printf "%s-artifacts" (include "taskledger.fullname" .root)) }}
  {{- end }}
{{- end -}}

{{/* The head of a Deployment. `replicas` null: an autoscaler says how many. `strategy` as in a Deployment. */}}
{{- define "taskledger.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "taskledger.fullname" .root }}-{{ .component }}
  labels:
    {{- include "taskledger.labels" . | nindent 4 }}
spec:
  {{- if not (kindIs "invalid" .replicas) }}
  replicas: {{ .replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels: { {{ include "taskledger.selector" . }} }
  strategy:
    {{- toYaml .strategy | nindent 4 }}
  template:
    {{- include "taskledger.podMetadata" . | nindent 4 }}
    spec:
      {{- include "taskledger.pod" . | nindent 6 }}
{{- end -}}

{{/* A budget, if there is more than one copy to keep: with one it would only stop a node from being drained. */}}
{{- define "taskledger.disruptionBudget" -}}
{{- if and .of.disruption (or (kindIs "invalid" .replicas) (gt (int .replicas) 1)) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "taskledger.fullname" .root }}-{{ .component }}
  labels:
    {{- include "taskledger.labels" . | nindent 4 }}
spec:
  {{- toYaml .of.disruption | nindent 2 }}
  selector:
    matchLabels: { {{ include "taskledger.selector" . }} }
{{- end }}
{{- end -}}

{{- define "taskledger.service" -}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "taskledger.fullname" .root }}-{{ .component }}
  labels:
    {{- include "taskledger.labels" . | nindent 4 }}
spec:
  selector: { {{ include "taskledger.selector" . }} }
  ports:
    - { name: http, port: {{ .port }}, targetPort: http }
{{- end -}}

{{/* By CPU. `scaling`: its min, max and cpu. */}}
{{- define "taskledger.autoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "taskledger.fullname" .root }}-{{ .component }}
  labels:
    {{- include "taskledger.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ include "taskledger.fullname" .root }}-{{ .component }} }
  minReplicas: {{ .scaling.min }}
  maxReplicas: {{ .scaling.max }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ .scaling.cpu }} }
{{- end -}}
