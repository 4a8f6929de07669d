{{/* What trainers and validators have in common. All take root and role. */}}

{{/* Settings. Also takes count, the number of shards. */}}
{{- define "flobc.learnerSettings" -}}
{{ include "flobc.indexVariable" . }}
{{ include "flobc.settings" . }}
- {name: FLOBC_GENESIS, value: /data/genesis}
- {name: FLOBC_DATA, value: /data}
- {name: FLOBC_SHARDS, value: {{ .count | quote }}}
- {name: FLOBC_SHARDING, value: {{ .root.Values.data.sharding | quote }}}
- {name: FLOBC_SEED, value: {{ .root.Values.chain.seed | int64 | quote }}}
{{- $options := include "flobc.options" . | fromYaml }}
{{- if or .root.Values.data.existingClaim $options.dataStorage }}
- {name: FLOBC_DATA_SETS, value: /data-sets}
{{- end }}
{{- with $options.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Puts a node's own key and the genesis on its volume, as files: the service never sees another node's key. */}}
{{- define "flobc.enrol" -}}
- name: enrol
  image: {{ include "flobc.image" . | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [sh, /scripts/enrol.sh, {{ .role }}]
  env:
    {{- include "flobc.indexVariable" . | nindent 4 }}
    - {name: PER_POD, value: {{ eq .role "trainer" | ternary .root.Values.trainers.perPod 1 | quote }}}
  securityContext: {{- include "flobc.container" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 512Mi}
  volumeMounts:
    - {name: data, mountPath: /data}
    - {name: chain, mountPath: /chain, readOnly: true}
    - {name: keys, mountPath: /keys, readOnly: true}
    {{- if eq .role "trainer" }}
    - {name: invitation, mountPath: /invitation, readOnly: true}
    {{- end }}
    - {name: scripts, mountPath: /scripts, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "flobc.learnerMounts" -}}
{{- $options := include "flobc.options" . | fromYaml -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- if or .root.Values.data.existingClaim $options.dataStorage }}
- {name: data-sets, mountPath: /data-sets, readOnly: true}
{{- end }}
{{- include "flobc.accessMounts" . }}
{{- include "flobc.codeMount" . }}
{{- with $options.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "flobc.learnerVolumes" -}}
{{- $options := include "flobc.options" . | fromYaml -}}
- name: chain
  configMap: {name: {{ include "flobc.chainMap" .root }}}
- name: keys
  secret:
    secretName: {{ include (printf "flobc.%sKeys" .role) .root }}
    defaultMode: 0440
    {{- if and (eq .role "trainer") (not .root.Values.genesis.create) (not .root.Values.trainers.existingKeysSecret) }}
    optional: true # nobody here is a founder: all make their own keys
    {{- end }}
{{- if eq .role "trainer" }}
- name: invitation
  secret:
    secretName: {{ include "flobc.invitation" .root }}
    defaultMode: 0440
    optional: {{ or (ne .root.Values.genesis.admission "invite") (and (not .root.Values.genesis.create) (not .root.Values.genesis.invitation.existingSecret)) }}
{{- end }}
- name: scripts
  configMap: {name: {{ include "flobc.name" .root }}-scripts}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- with .root.Values.data.existingClaim }}
- name: data-sets
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- include "flobc.accessVolumes" . }}
{{- include "flobc.codeVolume" . }}
{{- with $options.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "flobc.learnerClaims" -}}
{{- $options := include "flobc.options" . | fromYaml -}}
{{ include "flobc.claim" (merge (dict "name" "data" "storage" $options.storage "storageClassName" $options.storageClassName) .) }}
{{- if $options.dataStorage }}
{{ include "flobc.claim" (merge (dict "name" "data-sets" "storage" $options.dataStorage "storageClassName" $options.storageClassName) .) }}
{{- end }}
{{- end -}}
