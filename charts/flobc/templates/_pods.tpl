{{/* What every pod has in common. Takes root, role, user; token: whether it speaks to Kubernetes' API. */}}
{{- define "flobc.pod" -}}
{{- $options := include "flobc.options" . | fromYaml -}}
enableServiceLinks: false
serviceAccountName: {{ include "flobc.name" .root }}-{{ .role }}
automountServiceAccountToken: {{ .token | default false }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . }}}
  {{- end }}
{{- end }}
{{- with $options.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $options.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $options.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $options.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of a role's pods: no version in them, or every chart would restart every pod. */}}
{{- define "flobc.podMetadata" -}}
{{- $options := include "flobc.options" . | fromYaml -}}
labels:
  {{- include "flobc.selector" . | nindent 2 }}
  {{- with $options.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (deepCopy (.annotations | default dict)) ($options.podAnnotations | default dict) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Equal pods go to different nodes where they can. Takes root and role. */}}
{{- define "flobc.spread" -}}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ .root.Values.topologySpread.topologyKey }}
    whenUnsatisfiable: {{ .root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- include "flobc.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{- define "flobc.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* A Job that says what somebody has to change ends with 2, and is not tried again. Takes the container's name. */}}
{{- define "flobc.refusal" -}}
rules:
  - action: FailJob
    onExitCodes: {containerName: {{ . }}, operator: In, values: [2]}
    onPodConditions: [] # Kubernetes 1.28 says of it that it must be there
{{- end -}}

{{- define "flobc.indexVariable" -}}
- name: FLOBC_INDEX
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
{{- end -}}

{{/* Settings of every service that takes part in the chain. Takes root and role. */}}
{{- define "flobc.settings" -}}
- {name: FLOBC_KAFKA, value: {{ include "flobc.kafkaAddress" .root | quote }}}
{{- if ne .role "trainer" }}
- {name: FLOBC_LISTEN, value: "0.0.0.0:7000"}
{{- end }}
- {name: FLOBC_METRICS, value: "0.0.0.0:9100"}
- {name: FLOBC_LOG_LEVEL, value: {{ .root.Values.logLevel | quote }}}
- {name: OMP_NUM_THREADS, value: "1"}
{{- with .root.Values.tracing }}
{{- if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .sampleRatio | quote }}}
{{- end }}
{{- end }}
{{- include "flobc.kafkaAccess" . }}
{{- include "flobc.grpcAccess" . }}
{{- end -}}

{{/* What a role shows to other services under mutual TLS. Takes root and role. */}}
{{- define "flobc.grpcAccess" -}}
{{- if get .root.Values.grpc.tls .role }}
- {name: FLOBC_GRPC_CA, value: /secrets/grpc/ca.crt}
- {name: FLOBC_GRPC_CERTIFICATE, value: /secrets/grpc/tls.crt}
- {name: FLOBC_GRPC_KEY, value: /secrets/grpc/tls.key}
{{- end }}
{{- end -}}

{{/* Who a role is to an external Kafka. A user or password's name may hold $(FLOBC_INDEX). Takes root and role. */}}
{{- define "flobc.kafkaAccess" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $own := get $kafka.external .role | default dict -}}
{{- if and (eq $kafka.mode "external") (ne $kafka.external.security "plaintext") }}
- {name: FLOBC_KAFKA_SECURITY, value: {{ $kafka.external.security }}}
{{- if hasPrefix "sasl" $kafka.external.security }}
{{- with $kafka.external.saslMechanism }}
- {name: FLOBC_KAFKA_SASL_MECHANISM, value: {{ . }}}
{{- end }}
- {name: FLOBC_KAFKA_USER, value: {{ $own.user | quote }}}
- {name: FLOBC_KAFKA_PASSWORD_FILE, value: {{ printf "/secrets/kafka/%s" $own.passwordKey | quote }}}
{{- end }}
{{- if or (eq $kafka.external.security "ssl") (eq $kafka.external.security "sasl_ssl") }}
- {name: FLOBC_KAFKA_CA, value: /secrets/kafka/ca.crt}
{{- end }}
{{- if eq $kafka.external.security "ssl" }}
- {name: FLOBC_KAFKA_CERTIFICATE, value: /secrets/kafka/tls.crt}
- {name: FLOBC_KAFKA_KEY, value: /secrets/kafka/tls.key}
{{- end }}
{{- end }}
{{- end -}}

{{/* Who a ledger is to an external Redis. */}}
{{- define "flobc.redisAccess" -}}
{{- $redis := .Values.redis.external -}}
- {name: FLOBC_REDIS, value: {{ include "flobc.redisAddress" . | quote }}}
{{- if eq .Values.redis.mode "external" }}
{{- with $redis.user }}
- {name: FLOBC_REDIS_USER, value: {{ . | quote }}}
{{- end }}
{{- if $redis.existingSecret }}
{{- if $redis.password }}
- {name: FLOBC_REDIS_PASSWORD_FILE, value: /secrets/redis/password}
{{- end }}
{{- if $redis.tls }}
- {name: FLOBC_REDIS_CA, value: /secrets/redis/ca.crt}
{{- if $redis.clientCertificate }}
- {name: FLOBC_REDIS_CERTIFICATE, value: /secrets/redis/tls.crt}
- {name: FLOBC_REDIS_KEY, value: /secrets/redis/tls.key}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The secrets by which a role is known to servers: names by place. Takes root and role; YAML. */}}
{{- define "flobc.accessSecrets" -}}
{{- $values := .root.Values -}}
{{- $found := dict -}}
{{- if and (eq $values.kafka.mode "external") (ne $values.kafka.external.security "plaintext") (hasKey $values.kafka.external .role) -}}
{{- $_ := set $found "kafka" (get (get $values.kafka.external .role) "existingSecret") -}}
{{- end -}}
{{- if and (eq .role "ledger") (eq $values.redis.mode "external") $values.redis.external.existingSecret -}}
{{- $_ := set $found "redis" $values.redis.external.existingSecret -}}
{{- end -}}
{{- with get $values.grpc.tls .role -}}
{{- $_ := set $found "grpc" . -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{- define "flobc.accessMounts" -}}
{{- range $place, $_ := include "flobc.accessSecrets" . | fromYaml }}
- {name: secret-{{ $place }}, mountPath: /secrets/{{ $place }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "flobc.accessVolumes" -}}
{{- range $place, $secret := include "flobc.accessSecrets" . | fromYaml }}
- name: secret-{{ $place }}
  secret: {secretName: {{ $secret }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* Probes of what serves gRPC. Ready is who has read the whole log: that may take long, and Kafka may be away, so it
     says nothing about being alive. Alive is whose health service answers for itself. A probe of Kubernetes shows no
     certificate, so under mutual TLS ready is what the metrics say. Takes root and role. */}}
{{- define "flobc.probes" -}}
{{- if get .root.Values.grpc.tls .role -}}
startupProbe:
  tcpSocket: {port: grpc}
  periodSeconds: 5
  failureThreshold: 120
livenessProbe:
  tcpSocket: {port: grpc}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  exec:
    command:
      - python
      - -c
      - |
        import sys, urllib.request
        text = urllib.request.urlopen("http://127.0.0.1:9100/metrics", timeout=4).read().decode()
        sys.exit("flobc_ready 1.0" not in text.splitlines())
  periodSeconds: 5
  timeoutSeconds: 5
{{- else -}}
startupProbe:
  grpc: {port: 7000, service: grpc.health.v1.Health}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 300
livenessProbe:
  grpc: {port: 7000, service: grpc.health.v1.Health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  grpc: {port: 7000}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}
{{- end -}}

{{/* A claim's template: never changed once it is there, so it holds nothing of a version. It outlives the release.
     Takes root, role, name, storage and storageClassName. */}}
{{- define "flobc.claim" -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: {{ .name }}
    labels: {{- include "flobc.selector" . | nindent 6 }}
    annotations: {helm.sh/resource-policy: keep}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClassName }}
    storageClassName: {{ . | quote }}
    {{- end }}
    resources: {requests: {storage: {{ .storage }}}}
{{- end -}}

{{/* Under development: the code on a volume, filled from the image. Takes root and role. */}}
{{- define "flobc.codeContainer" -}}
{{- if .root.Values.development -}}
- name: code
  image: {{ include "flobc.image" . | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [cp, -r, /app/., /code]
  securityContext: {{- include "flobc.container" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 32Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: code, mountPath: /code}
{{- end -}}
{{- end -}}

{{- define "flobc.codeMount" -}}
{{- if .root.Values.development }}
- {name: code, mountPath: /app}
{{- end }}
{{- end -}}

{{- define "flobc.codeVolume" -}}
{{- if .root.Values.development }}
- name: code
  emptyDir: {sizeLimit: 64Mi}
{{- end }}
{{- end -}}
