{{/* The roles that have pods in this release and are not Jobs. */}}
{{- define "flobc.roles" -}}
{{- if or (include "flobc.trainers" . | int) (eq .Values.scaling "external") }}
- trainer
{{- end }}
{{- if include "flobc.validators" . | int }}
- validator
{{- end }}
{{- if include "flobc.hasLedgers" . }}
- ledger
{{- end }}
{{- if .Values.explorer.enabled }}
- explorer
{{- end }}
{{- if eq .Values.kafka.mode "bundled" }}
- kafka
{{- end }}
{{- if eq .Values.redis.mode "bundled" }}
- redis
{{- end }}
{{- if .Values.monitoring.bundled.enabled }}
- prometheus
- grafana
{{- end }}
- test
{{- end -}}

{{/* Who asks whom, at which port: the one table that all NetworkPolicies come from. What is not here is denied. */}}
{{- define "flobc.flows" -}}
- {from: trainer, to: kafka, port: 9092}
- {from: trainer, to: ledger, port: 7000}
- {from: validator, to: kafka, port: 9092}
- {from: validator, to: validator, port: 7000}
- {from: ledger, to: kafka, port: 9092}
- {from: ledger, to: redis, port: 6379}
- {from: ledger, to: validator, port: 7000}
- {from: explorer, to: ledger, port: 7000}
- {from: trainer, to: collector}
- {from: validator, to: collector}
- {from: ledger, to: collector}
- {from: prometheus, to: trainer, port: 9100}
- {from: prometheus, to: validator, port: 9100}
- {from: prometheus, to: ledger, port: 9100}
- {from: prometheus, to: explorer, port: 9100}
- {from: grafana, to: prometheus, port: 9090}
- {from: test, to: kafka, port: 9092}
- {from: test, to: redis, port: 6379}
- {from: test, to: ledger, port: 7000}
- {from: succession, to: kafka, port: 9092}
- {from: succession, to: ledger, port: 7000}
- {from: succession, to: kubernetes}
- {from: genesis, to: kubernetes}
- {from: scale, to: kubernetes}
{{- end -}}

{{/* Addresses outside this release that a role is asked at. Takes root and role. */}}
{{- define "flobc.outside" -}}
{{- $values := .root.Values -}}
{{- $found := list -}}
{{- if and (eq .role "kafka") (eq $values.kafka.mode "external") -}}
{{- $found = splitList "," $values.kafka.external.address -}}
{{- else if and (eq .role "redis") (eq $values.redis.mode "external") -}}
{{- $found = list $values.redis.external.address -}}
{{- else if eq .role "ledger" -}}
{{- $found = $values.ledgers.external -}}
{{- else if eq .role "validator" -}}
{{- $found = $values.validators.peers -}}
{{- else if eq .role "collector" -}}
{{- $found = list $values.tracing.endpoint -}}
{{- end -}}
{{- $ports := list -}}
{{- range compact $found -}}
{{- $ports = append $ports (splitList ":" . | last | trim | int) -}}
{{- end -}}
{{- if eq .role "kubernetes" -}}
{{- $ports = $values.networkPolicy.kubernetesPorts -}}
{{- end -}}
{{- uniq $ports | toYaml -}}
{{- end -}}
