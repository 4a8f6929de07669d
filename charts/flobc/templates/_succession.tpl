{{/* Generations of a chain: the first is what the genesis Job made, and each succession begins another one. */}}

{{/* The chain that is there: its generation and how many validators it has, as YAML; 0 validators where there is none.
     Where Helm has no cluster to look into, it is what `succession.live` says. */}}
{{- define "flobc.live" -}}
{{- $live := dict "generation" 1 "validators" 0 -}}
{{- if .Values.genesis.create -}}
{{- $base := printf "%s-chain" (include "flobc.name" .) -}}
{{- range $generation := untilStep 1 1000 1 -}}
{{- $name := printf "%s%s" $base (eq $generation 1 | ternary "" (printf "-%d" $generation)) -}}
{{- $found := lookup "v1" "ConfigMap" $.Release.Namespace $name -}}
{{- if not $found -}}{{- break -}}{{- end -}}
{{- $live = dict "generation" $generation "validators" (dig "metadata" "annotations" "flobc/validators" "0" $found | int) -}}
{{- end -}}
{{- with .Values.succession.live -}}
{{- if .generation -}}{{- $live = dict "generation" (int .generation) "validators" (int .validators) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $live -}}
{{- end -}}

{{/* Whether this revision ends the chain that is there and begins its successor: "yes" or nothing. */}}
{{- define "flobc.succeeds" -}}
{{- $live := include "flobc.live" . | fromYaml -}}
{{- if and .Values.genesis.create $live.validators (ne (int $live.validators) (include "flobc.validators" . | int)) -}}yes{{- end -}}
{{- end -}}

{{/* The generation that this revision's pods are of. */}}
{{- define "flobc.generation" -}}
{{- $live := include "flobc.live" . | fromYaml -}}
{{- add (int $live.generation) (ternary 1 0 (eq "yes" (include "flobc.succeeds" .))) -}}
{{- end -}}

{{/* What a generation's names end with. */}}
{{- define "flobc.suffix" -}}
{{- if gt (int .) 1 -}}-{{ . }}{{- end -}}
{{- end -}}

{{/* The plan's ConfigMap, and what approvals' names begin with. Takes root and generation. */}}
{{- define "flobc.plan" -}}
{{- printf "%s-succession-%d" (include "flobc.name" .root) (int .generation) -}}
{{- end -}}

{{/* A ledger's settings, as far as the Jobs of a succession have use for them. Takes root and role. */}}
{{- define "flobc.successionSettings" -}}
- {name: FLOBC_KAFKA, value: {{ include "flobc.kafkaAddress" .root | quote }}}
{{- include "flobc.kafkaAccess" . }}
{{- include "flobc.grpcAccess" . }}
- {name: FLOBC_GENESIS, value: /tmp/genesis}
- {name: FLOBC_DATA, value: /tmp}
- {name: FLOBC_REDIS, value: none}
- {name: FLOBC_VALIDATORS, value: none}
- {name: LEDGERS, value: {{ include "flobc.ledgerAddresses" .root | quote }}}
{{- end -}}

{{/* A Job of a succession. Takes root, role, name, weight, script, env, and volumes with their mounts, if any. */}}
{{- define "flobc.successionJob" -}}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  labels: {{- include "flobc.labels" . | nindent 4 }}
  annotations:
    helm.sh/hook: pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-weight: {{ .weight | quote }}
spec:
  backoffLimit: 6
  podFailurePolicy: {{- include "flobc.refusal" "succession" | nindent 4 }}
  template:
    metadata: {{- include "flobc.podMetadata" . | nindent 6 }}
    spec:
      {{- include "flobc.pod" (dict "root" .root "role" "succession" "user" 10001 "token" true) | nindent 6 }}
      restartPolicy: Never
      containers:
        - name: succession
          image: {{ include "flobc.image" (dict "root" .root "role" "validator") | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: [python, /scripts/{{ .script }}]
          env: {{- toYaml .env | nindent 12 }}
          securityContext: {{- include "flobc.container" . | nindent 12 }}
          resources: {{- toYaml .root.Values.succession.resources | nindent 12 }}
          volumeMounts:
            - {name: scripts, mountPath: /scripts, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- with .mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: scripts
          configMap: {name: {{ include "flobc.name" .root }}-succession}
        - name: tmp
          emptyDir: {medium: Memory, sizeLimit: 256Mi} # secret keys touch no disk here
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}
