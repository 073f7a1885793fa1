{{/* What the pods of the control plane have in common: least privilege, and spread so that one node takes only one. */}}

{{- define "tencrypt.podSettings" -}}
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
# Variables like TENCRYPT_CA_PORT, which Kubernetes makes of Services, would be taken for settings.
enableServiceLinks: false
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "tencrypt.spread" -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "tencrypt.selector" . | nindent 14 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "tencrypt.selector" . | nindent 8 }}
{{- end }}

{{/* Not the chart's version: a new chart alone restarts nothing. */}}
{{- define "tencrypt.podLabels" -}}
{{ include "tencrypt.selector" . }}
app.kubernetes.io/part-of: tencrypt
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
{{- end }}

{{- define "tencrypt.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Both programs serve these on 15014. */}}
{{- define "tencrypt.probes" -}}
startupProbe:
  httpGet: {path: /live, port: metrics}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /live, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{/*
A pod that is being deleted is dialled until every node has heard of it. Until then it serves as before: an API server that
found the webhook closed would refuse pods.
*/}}
{{- define "tencrypt.preStop" -}}
lifecycle:
  preStop:
    sleep: {seconds: 5}
{{- end }}

{{/*
The pod of a hook, which ends by itself. Call with (list . "trust" "service-account" (list "trust")): the last are the
arguments of the program `hook`.
*/}}
{{- define "tencrypt.hookPod" -}}
{{- $ := index . 0 -}}
restartPolicy: Never
serviceAccountName: {{ index . 2 }}
automountServiceAccountToken: true
{{ include "tencrypt.podSettings" $ }}
containers:
  - name: {{ index . 1 }}
    image: {{ include "tencrypt.image" (list $ "controlPlane") }}
    imagePullPolicy: {{ $.Values.image.pullPolicy }}
    command: {{ concat (list "node" "dist/hook/main.js") (index . 3) | toJson }}
    {{- include "tencrypt.containerSecurity" $ | nindent 4 }}
    resources:
      requests: {cpu: 20m, memory: 64Mi}
      limits: {memory: 256Mi}
{{- end }}

{{/*
What Helm does with a hook's object: nothing of it stays, and what the pod of one that failed had to say is printed. Call
with (list "weight" "events").
*/}}
{{- define "tencrypt.hook" -}}
helm.sh/hook: {{ index . 1 }}
helm.sh/hook-weight: {{ index . 0 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end }}
