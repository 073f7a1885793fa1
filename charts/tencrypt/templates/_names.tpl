{{/* Labels, image references and durations: what several templates spell the same way. */}}

{{/* Call with (list . "ca"). */}}
{{- define "tencrypt.selector" -}}
app.kubernetes.io/name: tencrypt
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "tencrypt.labels" -}}
{{- $ := index . 0 -}}
{{ include "tencrypt.selector" . }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
app.kubernetes.io/part-of: tencrypt
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Where an image lives, without its version. Call with (list . "proxy"). */}}
{{- define "tencrypt.repository" -}}
{{- $ := index . 0 -}}
{{- $image := index $.Values.image (index . 1) -}}
{{- with $.Values.image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ $image.repository }}
{{- end }}

{{- define "tencrypt.image" -}}
{{- $ := index . 0 -}}
{{- $image := index $.Values.image (index . 1) -}}
{{ include "tencrypt.repository" . }}:{{ $.Values.image.tag | default $.Chart.AppVersion }}
{{- with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* 36h to seconds. The schema has seen to the form. */}}
{{- define "tencrypt.seconds" -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- mul (regexFind "^[0-9]+" . | int64) (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) -}}
{{- end }}

{{/* 500m or 64Mi to a number. The schema has seen to the form. */}}
{{- define "tencrypt.amount" -}}
{{- $unit := regexFind "[a-zA-Z]*$" (toString .) -}}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 -}}
{{- mulf (regexFind "^[0-9.]+" (toString .) | float64) (get $factors $unit) -}}
{{- end }}

{{/* The longest lifetime that proxies accept: 48h, or twice what the ca issues where that is more. */}}
{{- define "tencrypt.maxLeafLifetime" -}}
{{- max 172800 (mul 2 (include "tencrypt.seconds" .Values.ca.leafTtl | int64)) -}}s
{{- end }}

{{/* Namespaces that are never projects: what the cluster needs to come up, and what projects need. */}}
{{- define "tencrypt.neverProjects" -}}
[kube-system, kube-public, kube-node-lease, tencrypt-system, tencrypt-ca]
{{- end }}

{{/* A policy holds everywhere. Call with (list . "tencrypt-pods" "Deny"). */}}
{{- define "tencrypt.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "tencrypt.labels" (list (index . 0) "policies") | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [{{ index . 2 }}]
{{- end }}
