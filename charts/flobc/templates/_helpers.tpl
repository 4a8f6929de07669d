{{/* The release's name with the chart's, short enough for every suffix. */}}
{{- define "flobc.name" -}}
{{- if contains "flobc" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-flobc" (.Release.Name | trunc 34 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What never changes: selectors. Takes root and role. */}}
{{- define "flobc.selector" -}}
app.kubernetes.io/name: flobc
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "flobc.labels" -}}
{{ include "flobc.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* The image of a service. Takes root and role. */}}
{{- define "flobc.image" -}}
{{- $image := .root.Values.image -}}
{{- with $image.registry -}}{{ trimSuffix "/" . }}/{{- end -}}
flobc-{{ .role }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{/* What every pod of ours has in common. */}}
{{- define "flobc.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "flobc.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Addresses of all validators, from their stable names. */}}
{{- define "flobc.validators" -}}
{{- $name := printf "%s-validator" (include "flobc.name" .) -}}
{{- $addresses := list -}}
{{- range until (int .Values.validators.replicas) -}}
{{- $addresses = append $addresses (printf "%s-%d.%s:7000" $name . $name) -}}
{{- end -}}
{{- join "," $addresses -}}
{{- end -}}

{{/* Settings of every service. */}}
{{- define "flobc.settings" -}}
- {name: FLOBC_KAFKA, value: {{ printf "%s-kafka:9092" (include "flobc.name" .) | quote }}}
- {name: FLOBC_LISTEN, value: "0.0.0.0:7000"}
- {name: FLOBC_LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
- {name: OMP_NUM_THREADS, value: "1"}
{{- end -}}

{{/* Settings of trainers and validators. Takes root and count, the number of shards. */}}
{{- define "flobc.learnerSettings" -}}
{{ include "flobc.settings" .root }}
- {name: FLOBC_GENESIS, value: /data/genesis}
- {name: FLOBC_DATA, value: /data}
- {name: FLOBC_KEY, value: /data/key}
- name: FLOBC_INDEX
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
- {name: FLOBC_SHARDS, value: {{ .count | quote }}}
- {name: FLOBC_SHARDING, value: {{ .root.Values.chain.sharding | quote }}}
- {name: FLOBC_SEED, value: {{ .root.Values.chain.seed | int64 | quote }}}
{{- end -}}

{{/* Puts a node's own key and the genesis on its volume, as files: the service never sees another node's key.
     Takes root and role. */}}
{{- define "flobc.enrol" -}}
- name: enrol
  image: {{ include "flobc.image" . | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [sh, /scripts/enrol.sh, {{ .role }}]
  env:
    - name: FLOBC_INDEX
      valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
  securityContext: {{- include "flobc.container" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 32Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: data, mountPath: /data}
    - {name: chain, mountPath: /chain, readOnly: true}
    - {name: keys, mountPath: /keys, readOnly: true}
    - {name: scripts, mountPath: /scripts, readOnly: true}
{{- end -}}

{{- define "flobc.learnerVolumes" -}}
{{- $name := include "flobc.name" .root -}}
- name: chain
  configMap: {name: {{ $name }}-chain}
- name: keys
  secret: {secretName: {{ $name }}-{{ .role }}-keys, defaultMode: 0440}
- name: scripts
  configMap: {name: {{ $name }}-scripts}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end -}}
