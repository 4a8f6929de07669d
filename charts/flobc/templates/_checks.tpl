{{/* Refuses values that fit the schema and still cannot work: what is wrong, why, and what to do. */}}
{{- define "flobc.check" -}}
{{- include "flobc.checkCounts" . -}}
{{- include "flobc.checkGenesis" . -}}
{{- include "flobc.checkServers" . -}}
{{- include "flobc.checkAccess" . -}}
{{- include "flobc.checkChain" . -}}
{{- end -}}

{{- define "flobc.checkCounts" -}}
{{- $values := .Values -}}
{{- if and $values.nodes (not $values.ratio) -}}
{{- fail "nodes is given without ratio, so nobody knows who they are; add a ratio such as 7:3, or give trainers.replicas and validators.replicas." -}}
{{- end -}}
{{- if and $values.ratio (not $values.nodes) -}}
{{- fail "ratio is given without nodes, so nobody knows of how many; add nodes, or give trainers.replicas and validators.replicas." -}}
{{- end -}}
{{- if $values.nodes -}}
{{- range $role := list "trainers" "validators" -}}
{{- if not (kindIs "invalid" (index $values $role "replicas")) -}}
{{- fail (printf "%s.replicas and ratio both say how many there are; leave one of them out." $role) -}}
{{- end -}}
{{- end -}}
{{- $parts := splitList ":" $values.ratio -}}
{{- $whole := add (index $parts 0 | int) (index $parts 1 | int) | int -}}
{{- if not $whole -}}
{{- fail "ratio 0:0 has nobody in it; give one such as 7:3." -}}
{{- end -}}
{{- if mod (mul (int $values.nodes) (index $parts 0 | int)) $whole -}}
{{- fail (printf "nodes %d cannot be dealt by ratio %s without a rest; take a multiple of %d." (int $values.nodes) $values.ratio $whole) -}}
{{- end -}}
{{- end -}}
{{- if ne $values.scaling "external" -}}
{{- range $role := list "trainers" "ledgers" -}}
{{- if not (kindIs "invalid" (index $values $role "initialReplicas")) -}}
{{- fail (printf "%s.initialReplicas counts under scaling external alone, and scaling is helm; give replicas, or set scaling." $role) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $scaler := $values.ledgers.autoscaling -}}
{{- if $scaler.enabled -}}
{{- if gt (int $scaler.minReplicas) (int $scaler.maxReplicas) -}}
{{- fail (printf "ledgers.autoscaling.minReplicas %d is above maxReplicas %d; swap them." (int $scaler.minReplicas) (int $scaler.maxReplicas)) -}}
{{- end -}}
{{- if not (include "flobc.hasLedgers" .) -}}
{{- fail "ledgers.autoscaling.enabled needs ledgers, and ledgers.replicas is 0; raise it or turn the autoscaling off." -}}
{{- end -}}
{{- end -}}
{{- range $role := list "trainers" "validators" -}}
{{- if and $values.data.existingClaim (get (get $values $role) "dataStorage") -}}
{{- fail (printf "%s.dataStorage and data.existingClaim both say where data sets are; leave one of them out." $role) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flobc.checkGenesis" -}}
{{- $values := .Values -}}
{{- $validators := include "flobc.validators" . | int -}}
{{- $trainers := include "flobc.trainers" . | int -}}
{{- $genesis := $values.genesis -}}
{{- if lt (include "flobc.validatorsOfChain" . | int) (add $validators (int $values.validators.firstIndex) | int) -}}
{{- fail (printf "validators.total %d is less than this release alone has with firstIndex %d; give the whole chain's number." (int $values.validators.total) (int $values.validators.firstIndex)) -}}
{{- end -}}
{{- if $genesis.create -}}
{{- if $genesis.existingConfigMap -}}
{{- fail "genesis.existingConfigMap is given, but genesis.create is true and would make another chain; set genesis.create to false, or leave it out." -}}
{{- end -}}
{{- if not $validators -}}
{{- fail "validators.replicas is 0, so no quorum can ever seal a block; give some, or set genesis.create to false to take part in another party's chain." -}}
{{- end -}}
{{- if or $values.validators.firstIndex (ne (include "flobc.validatorsOfChain" . | int) $validators) -}}
{{- fail "validators.firstIndex and validators.total are for a genesis of several parties, and genesis.create makes one of this release alone; leave them out, or set genesis.create to false." -}}
{{- end -}}
{{- if $values.trainers.firstIndex -}}
{{- fail "trainers.firstIndex is for a release that takes part in another party's chain, and genesis.create makes founders from trainer-0 on, who would never run; leave it out, or set genesis.create to false." -}}
{{- end -}}
{{- if and (eq $genesis.admission "allowlist") (gt (mul $trainers (int $values.trainers.perPod) | int) (int $genesis.founders)) -}}
{{- fail (printf "genesis.founders is %d and admission is allowlist, so %d trainers could never join; raise genesis.founders, or admit by invitation." (int $genesis.founders) (mul $trainers (int $values.trainers.perPod))) -}}
{{- end -}}
{{- if and (ne $genesis.admission "invite") (or $genesis.operator.existingSecret $genesis.invitation.existingSecret) -}}
{{- fail (printf "genesis.admission is %s, which takes no invitations; leave genesis.operator.existingSecret and genesis.invitation.existingSecret out." $genesis.admission) -}}
{{- end -}}
{{- range $flag := list "--task" "--seed" "--trainers" "--validators" "--admission" "--operator" "--dir" "--draft" -}}
{{- range $option := $values.chain.options -}}
{{- if eq (splitList "=" $option | first) $flag -}}
{{- fail (printf "chain.options has %s, which the chart sets itself; use the value for it instead." $flag) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- if not $genesis.existingConfigMap -}}
{{- fail "genesis.existingConfigMap is missing, and genesis.create is false; name the ConfigMap with the chain's genesis, or let the chart make one." -}}
{{- end -}}
{{- if and $validators (not $values.validators.existingKeysSecret) -}}
{{- fail "validators.existingKeysSecret is missing, and the genesis is not made here; name the Secret with the keys validator-N that the genesis enrols." -}}
{{- end -}}
{{- if and $trainers (eq $genesis.admission "invite") (not $values.trainers.existingKeysSecret) (not $genesis.invitation.existingSecret) -}}
{{- fail "genesis.invitation.existingSecret is missing, so no trainer could join a chain made elsewhere; name the Secret with an invitation, or trainers.existingKeysSecret with keys of its trainers." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flobc.checkServers" -}}
{{- $values := .Values -}}
{{- if and (eq $values.kafka.mode "external") (not $values.kafka.external.address) (include "flobc.takesPart" .) -}}
{{- fail "kafka.external.address is missing, and kafka.mode is external; give the server's HOST:PORT." -}}
{{- end -}}
{{- if and (eq $values.kafka.mode "bundled") (or $values.kafka.external.address (ne $values.kafka.external.security "plaintext")) -}}
{{- fail "kafka.external is set, but kafka.mode is bundled; set kafka.mode to external, or leave it out." -}}
{{- end -}}
{{- if and (eq $values.redis.mode "external") (not $values.redis.external.address) (include "flobc.hasLedgers" .) -}}
{{- fail "redis.external.address is missing, and redis.mode is external; give the server's HOST:PORT." -}}
{{- end -}}
{{- if and (eq $values.redis.mode "bundled") (or $values.redis.external.address $values.redis.external.tls $values.redis.external.existingSecret) -}}
{{- fail "redis.external is set, but redis.mode is bundled; set redis.mode to external, or leave it out." -}}
{{- end -}}
{{- if and (or (include "flobc.trainers" . | int) (eq $values.scaling "external")) (not (include "flobc.ledgerAddresses" .)) -}}
{{- fail "ledgers.replicas is 0 and ledgers.external names none, so trainers could not follow the chain; give one of them." -}}
{{- end -}}
{{- $explorer := $values.explorer -}}
{{- if and $explorer.enabled (not (include "flobc.ledgerAddresses" .)) -}}
{{- fail "explorer.enabled needs ledgers to ask, and ledgers.replicas is 0 and ledgers.external names none; give one of them, or set explorer.enabled to false." -}}
{{- end -}}
{{- if and $explorer.ingress.enabled (not $explorer.enabled) -}}
{{- fail "explorer.ingress.enabled is true, and explorer.enabled is false; turn the explorer on, or the Ingress off." -}}
{{- end -}}
{{- if and $explorer.ingress.enabled $values.networkPolicy.enabled (not $values.networkPolicy.viewers) -}}
{{- fail "networkPolicy.viewers is empty, so the controller behind explorer.ingress could not reach the explorer; name where the controller runs, or set networkPolicy.enabled to false." -}}
{{- end -}}
{{- if and (include "flobc.hasLedgers" .) (not (include "flobc.validatorAddresses" .)) -}}
{{- fail "validators.peers is empty and this release has no validators, so its ledgers could fetch no model; name some, or set ledgers.replicas to 0." -}}
{{- end -}}
{{- end -}}

{{- define "flobc.checkAccess" -}}
{{- $values := .Values -}}
{{- $kafka := $values.kafka.external -}}
{{- $roles := without (include "flobc.roles" . | fromYamlArray) "kafka" "redis" "prometheus" "grafana" "test" -}}
{{- if and (ne $kafka.security "plaintext") (include "flobc.takesPart" .) -}}
{{- range $role := append (without $roles "explorer") "ledger" | uniq -}}
{{- $own := get $kafka $role -}}
{{- if not $own.existingSecret -}}
{{- fail (printf "kafka.external.%s.existingSecret is missing, and kafka.external.security is %s; name the Secret by which it is known there (helm test is a ledger)." $role $kafka.security) -}}
{{- end -}}
{{- if and (hasPrefix "sasl" $kafka.security) (not $own.user) -}}
{{- fail (printf "kafka.external.%s.user is empty, and kafka.external.security is %s; give the user's name." $role $kafka.security) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $kafka.saslMechanism (not (hasPrefix "sasl" $kafka.security)) -}}
{{- fail (printf "kafka.external.saslMechanism is given, but kafka.external.security is %s and asks for no password; set it to sasl_ssl, or leave the mechanism out." $kafka.security) -}}
{{- end -}}
{{- $redis := $values.redis.external -}}
{{- if and $redis.user (not (and $redis.existingSecret $redis.password)) -}}
{{- fail "redis.external.user is given without a password; name redis.external.existingSecret with an entry password." -}}
{{- end -}}
{{- if and $redis.clientCertificate (not (and $redis.tls $redis.existingSecret)) -}}
{{- fail "redis.external.clientCertificate needs redis.external.tls and redis.external.existingSecret with tls.crt and tls.key; set them." -}}
{{- end -}}
{{- if values $values.grpc.tls | join "" -}}
{{- range $role := append $roles "ledger" | uniq -}}
{{- if not (get $values.grpc.tls $role) -}}
{{- fail (printf "grpc.tls.%s is missing, and another role has mutual TLS; name its Secret too, for all speak it or none does." $role) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A chain that is there keeps what it began with: compared with what the genesis Job wrote beside it. Its validators
     change by a succession alone. */}}
{{- define "flobc.checkChain" -}}
{{- if .Values.genesis.create -}}
{{- include "flobc.checkSuccession" . -}}
{{- $name := printf "%s-chain" (include "flobc.name" .) -}}
{{- $live := lookup "v1" "ConfigMap" .Release.Namespace $name -}}
{{- $options := dig "metadata" "annotations" "flobc/options" "" (default dict $live) -}}
{{- $now := include "flobc.genesisOptions" . | fromYamlArray | join " " -}}
{{- $same := eq (regexReplaceAll "--validators [0-9]+" $options "") (regexReplaceAll "--validators [0-9]+" $now "") -}}
{{- if and $options (not $same) -}}
{{- fail (printf "chain, genesis.admission or genesis.founders changed: the chain in ConfigMap %s began with '%s', and a chain never changes, but the values say '%s'; set them back, or install another release for another chain." $name $options $now) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flobc.checkSuccession" -}}
{{- $live := include "flobc.live" . | fromYaml -}}
{{- $wanted := include "flobc.validators" . | int -}}
{{- $given := .Values.succession.live -}}
{{- if ne (kindIs "invalid" $given.generation) (kindIs "invalid" $given.validators) -}}
{{- fail "succession.live.generation and succession.live.validators go together; give both, or neither." -}}
{{- end -}}
{{- $begun := lookup "v1" "ConfigMap" .Release.Namespace (include "flobc.plan" (dict "root" . "generation" (add1 (int $live.generation)))) -}}
{{- $planned := dig "metadata" "annotations" "flobc/validators" "" (default dict $begun) -}}
{{- if and $planned (ne $planned (toString $wanted)) -}}
{{- fail (printf "validators.replicas is %d, but a succession to %s validators was begun, and what validators approve is for ever; set it to %s, upgrade, and then change it again." $wanted $planned $planned) -}}
{{- end -}}
{{- if include "flobc.succeeds" . -}}
{{- if not .Values.succession.autoApprove -}}
{{- fail (printf "validators.replicas is %d, but the chain has %d validators, and only a successor that a quorum of them approves has others; set succession.autoApprove to true if all of them are yours, or set it back (docs/kubernetes.md says how several parties do it)." $wanted (int $live.validators)) -}}
{{- end -}}
{{- if not (include "flobc.hasLedgers" .) -}}
{{- fail "ledgers.replicas is 0, and a successor is assembled from what this release's own ledgers serve; raise it for the succession." -}}
{{- end -}}
{{- end -}}
{{- end -}}
