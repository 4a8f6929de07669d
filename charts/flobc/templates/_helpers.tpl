{{/* The release's name with the chart's, short enough for every suffix. */}}
{{- define "flobc.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "flobc" .Release.Name -}}
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

{{/* Labels of every object. Takes root and role. */}}
{{- define "flobc.labels" -}}
{{ include "flobc.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* The image of a service. Takes root and role. */}}
{{- define "flobc.image" -}}
{{- $image := .root.Values.image -}}
{{- if get $image.references .role -}}
{{- get $image.references .role -}}
{{- else -}}
{{- with $image.registry -}}{{ trimSuffix "/" . }}/{{- end -}}
flobc-{{ .role }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* A role's values: what is set for trainer, validator, ledger, explorer, kafka or redis. Takes root and role; YAML. */}}
{{- define "flobc.options" -}}
{{- $values := .root.Values -}}
{{- $all := dict "trainer" $values.trainers "validator" $values.validators "ledger" $values.ledgers -}}
{{- $all = merge $all (dict "explorer" $values.explorer "kafka" $values.kafka.bundled "redis" $values.redis.bundled) -}}
{{- get $all .role | default dict | toYaml -}}
{{- end -}}

{{/* How many pods of trainers: replicas, or their part of the ratio, or the default. */}}
{{- define "flobc.trainers" -}}
{{- if .Values.nodes -}}
{{- $parts := splitList ":" (.Values.ratio | default "0:1") -}}
{{- div (mul (int .Values.nodes) (index $parts 0 | int)) (max 1 (add (index $parts 0 | int) (index $parts 1 | int))) -}}
{{- else if kindIs "invalid" .Values.trainers.replicas -}}6
{{- else -}}{{ int .Values.trainers.replicas }}
{{- end -}}
{{- end -}}

{{/* How many pods of a scaled role the first install starts with. Takes root and role. */}}
{{- define "flobc.initialReplicas" -}}
{{- $options := include "flobc.options" . | fromYaml -}}
{{- if not (kindIs "invalid" $options.initialReplicas) -}}{{ int $options.initialReplicas }}
{{- else if eq .role "trainer" -}}{{ include "flobc.trainers" .root }}
{{- else -}}{{ int $options.replicas }}
{{- end -}}
{{- end -}}

{{/* How many validators of this release. */}}
{{- define "flobc.validators" -}}
{{- if .Values.nodes -}}
{{- sub (int .Values.nodes) (include "flobc.trainers" . | int) -}}
{{- else if kindIs "invalid" .Values.validators.replicas -}}4
{{- else -}}{{ int .Values.validators.replicas }}
{{- end -}}
{{- end -}}

{{/* How many validators the whole chain has, other releases' included. */}}
{{- define "flobc.validatorsOfChain" -}}
{{- .Values.validators.total | default (add (include "flobc.validators" . | int) (int .Values.validators.firstIndex)) | int -}}
{{- end -}}

{{/* How many validators may be away: n - quorum(n), quorum(n) = floor(2n/3) + 1. Takes the number. */}}
{{- define "flobc.spareValidators" -}}
{{- $quorum := add1 (div (mul 2 (int .)) 3) -}}
{{- sub (int .) $quorum -}}
{{- end -}}

{{/* The count of pods of what may be scaled. Takes root, kind, name, count, and keep: whether somebody else scales.
     Where somebody else does, the count is not the chart's: the Job that runs after the first install sets it, and from
     then on whoever scales. A count that Helm itself owns, from a time of scaling "helm", is repeated as it is now:
     left out, the API server would set it to 1. */}}
{{- define "flobc.replicas" -}}
{{- if not .keep -}}
replicas: {{ .count }}
{{- else -}}
{{- $live := lookup "apps/v1" .kind .root.Release.Namespace .name -}}
{{- $owned := false -}}
{{- range (($live.metadata).managedFields) -}}
{{- if and (ne (.subresource | default "") "scale") (hasKey (dig "fieldsV1" "f:spec" dict .) "f:replicas") -}}
{{- $owned = true -}}
{{- end -}}
{{- end -}}
{{- if $owned -}}
replicas: {{ $live.spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Addresses of all validators: this release's, from their stable names, and other parties'. */}}
{{- define "flobc.validatorAddresses" -}}
{{- $name := printf "%s-validator" (include "flobc.name" .) -}}
{{- $first := int .Values.validators.firstIndex -}}
{{- $addresses := list -}}
{{- range until (include "flobc.validators" . | int) -}}
{{- $addresses = append $addresses (printf "%s-%d.%s.%s.svc:7000" $name (add $first .) $name $.Release.Namespace) -}}
{{- end -}}
{{- concat $addresses .Values.validators.peers | join "," -}}
{{- end -}}

{{/* Addresses of the ledgers that trainers and the explorer ask: this release's and other parties'. */}}
{{- define "flobc.ledgerAddresses" -}}
{{- $addresses := list -}}
{{- if include "flobc.hasLedgers" . -}}
{{- $addresses = append $addresses (printf "%s-ledger.%s.svc:7000" (include "flobc.name" .) .Release.Namespace) -}}
{{- end -}}
{{- concat $addresses .Values.ledgers.external | join "," -}}
{{- end -}}

{{/* Whether this release has ledgers: "yes" or nothing. */}}
{{- define "flobc.hasLedgers" -}}
{{- if gt (int .Values.ledgers.replicas) 0 -}}yes{{- end -}}
{{- end -}}

{{/* Whether this release takes part in the chain, and so speaks to Kafka; an explorer only looks. "yes" or nothing. */}}
{{- define "flobc.takesPart" -}}
{{- $learners := add (include "flobc.trainers" . | int) (include "flobc.validators" . | int) | int -}}
{{- if or $learners (include "flobc.hasLedgers" .) (eq .Values.scaling "external") -}}yes{{- end -}}
{{- end -}}

{{- define "flobc.kafkaAddress" -}}
{{- if eq .Values.kafka.mode "bundled" -}}
{{- printf "%s-kafka.%s.svc:9092" (include "flobc.name" .) .Release.Namespace -}}
{{- else -}}
{{- .Values.kafka.external.address -}}
{{- end -}}
{{- end -}}

{{- define "flobc.redisAddress" -}}
{{- if eq .Values.redis.mode "bundled" -}}
{{- printf "%s-redis.%s.svc:6379" (include "flobc.name" .) .Release.Namespace -}}
{{- else -}}
{{- printf "%s%s" (ternary "rediss://" "" .Values.redis.external.tls) .Values.redis.external.address -}}
{{- end -}}
{{- end -}}

{{/* Names of what the genesis Job makes or is given, and of a successor's: those of the first generation have no number.
     Each for this revision's generation; those with "Of" take root and generation. */}}
{{- define "flobc.chainMap" -}}
{{- if .Values.genesis.create -}}
{{- include "flobc.chainOf" (dict "root" . "generation" (include "flobc.generation" .)) -}}
{{- else -}}
{{- .Values.genesis.existingConfigMap -}}
{{- end -}}
{{- end -}}

{{- define "flobc.chainOf" -}}
{{- include "flobc.name" .root }}-chain{{ include "flobc.suffix" .generation -}}
{{- end -}}

{{- define "flobc.trainerKeys" -}}
{{- .Values.trainers.existingKeysSecret | default (printf "%s-trainer-keys" (include "flobc.name" .)) -}}
{{- end -}}

{{- define "flobc.validatorKeys" -}}
{{- include "flobc.validatorKeysOf" (dict "root" . "generation" (include "flobc.generation" .)) -}}
{{- end -}}

{{- define "flobc.validatorKeysOf" -}}
{{- $made := printf "%s-validator-keys%s" (include "flobc.name" .root) (include "flobc.suffix" .generation) -}}
{{- .root.Values.validators.existingKeysSecret | default $made -}}
{{- end -}}

{{- define "flobc.operatorKey" -}}
{{- .Values.genesis.operator.existingSecret | default (printf "%s-operator-key" (include "flobc.name" .)) -}}
{{- end -}}

{{- define "flobc.invitation" -}}
{{- include "flobc.invitationOf" (dict "root" . "generation" (include "flobc.generation" .)) -}}
{{- end -}}

{{/* An invitation is to one chain: a successor's is always signed anew. */}}
{{- define "flobc.invitationOf" -}}
{{- $suffix := include "flobc.suffix" .generation -}}
{{- $given := .root.Values.genesis.invitation.existingSecret -}}
{{- if and $given (not $suffix) -}}{{ $given }}{{- else -}}{{ include "flobc.name" .root }}-invitation{{ $suffix }}{{- end -}}
{{- end -}}

{{/* The options of `flobc genesis new`, as a list; the chain keeps them for life. */}}
{{- define "flobc.genesisOptions" -}}
{{- $options := list "--task" .Values.chain.task "--seed" (.Values.chain.seed | int64 | toString) -}}
{{- $options = concat $options (list "--trainers" (.Values.genesis.founders | toString)) -}}
{{- $options = concat $options (list "--validators" (include "flobc.validators" .)) -}}
{{- $options = concat $options (list "--admission" .Values.genesis.admission) .Values.chain.options -}}
{{- toYaml $options -}}
{{- end -}}
