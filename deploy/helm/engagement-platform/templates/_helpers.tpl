{{- define "engagement.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "engagement.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Labels that never change: root, component. */}}
{{- define "engagement.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "engagement.labels" -}}
{{ include "engagement.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* The label by which runs are known to be the release's. */}}
{{- define "engagement.runLabel" -}}
engagement-platform/runs-of: {{ .Release.Name }}
{{- end }}

{{- define "engagement.env" -}}
- {name: DAGSTER_HOME, value: /etc/engagement}
- {name: ENGAGEMENT_STATE_DIR, value: /var/lib/engagement}
- {name: HOME, value: /var/lib/engagement}
- {name: ENGAGEMENT_STREAM_EXECUTOR, value: {{ .Values.streamExecutor }}}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- range $name, $_ := .Values.secrets }}
- {name: {{ $name }}_FILE, value: /run/engagement/secrets/{{ $name }}}
{{- end }}
{{- end }}

{{/* What every pod has beside its configuration. */}}
{{- define "engagement.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
- name: state
  emptyDir: {sizeLimit: 4Gi}
{{- if .Values.secrets }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
    {{- range $name, $from := .Values.secrets }}
      - secret:
          name: {{ $from.secret }}
          items: [{key: {{ $from.key | quote }}, path: {{ $name }}}]
    {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "engagement.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: state, mountPath: /var/lib/engagement}
{{- if .Values.secrets }}
- {name: secrets, mountPath: /run/engagement/secrets, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "engagement.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "engagement.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Dagster's instance: the repository's, and what is of Kubernetes. */}}
{{- define "engagement.dagster" -}}
{{- $all := .Files.Get "files/dagster.yaml" | fromYaml }}
{{- if not (hasKey $all "storage") }}{{ fail "files/dagster.yaml is not there: it is a link to dagster.yaml of the repository" }}{{ end }}
{{- mergeOverwrite $all (include "engagement.dagsterHere" . | fromYaml) | toYaml }}
{{- end }}

{{- define "engagement.dagsterHere" -}}
local_artifact_storage:
  config: {base_dir: /var/lib/engagement/dagster}
run_monitoring:
  start_timeout_seconds: {{ .Values.runs.startTimeoutSeconds }}
  # A run whose pod has ended is not begun again: the stream's sensor replaces it, and run_retries the others.
  max_resume_run_attempts: 0
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config:
    load_incluster_config: true
    job_namespace: {{ .Release.Namespace }}
    service_account_name: {{ include "engagement.fullname" . }}-runs
    instance_config_map: {{ include "engagement.fullname" . }}
    dagster_home: /etc/engagement
    image_pull_policy: {{ .Values.image.pullPolicy }}
    {{- with .Values.image.pullSecrets }}
    image_pull_secrets:
      {{- range . }}
      - {name: {{ . }}}
      {{- end }}
    {{- end }}
    labels:
      {{- include "engagement.runLabel" . | nindent 6 }}
    resources: {{ toJson .Values.runs.resources }}
    security_context:
      {{- include "engagement.containerSecurity" . | nindent 6 }}
    volumes:
      {{- include "engagement.volumes" . | nindent 6 }}
    volume_mounts:
      {{- include "engagement.mounts" . | nindent 6 }}
    run_k8s_config:
      container_config:
        # A run that has just begun cannot take over yet, so that a drained node must not end the one that streams.
        readinessProbe:
          exec: {command: [sh, -c, ":"]}
          initialDelaySeconds: {{ .Values.runs.readyAfterSeconds }}
          periodSeconds: 60
          timeoutSeconds: 30
        env:
          {{- include "engagement.env" . | nindent 10 }}
      pod_template_spec_metadata:
        annotations:
          cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
          {{- with .Values.runs.annotations }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
      pod_spec_config:
        {{- if ne .Values.streamExecutor "pods" }}
        automountServiceAccountToken: false
        {{- end }}
        # The program is not the first process: while it starts up, a signal ends it as any other.
        shareProcessNamespace: true
        enableServiceLinks: false
        terminationGracePeriodSeconds: {{ .Values.runs.terminationGracePeriodSeconds }}
        securityContext:
          {{- include "engagement.podSecurity" . | nindent 10 }}
        affinity:
          {{- if .Values.runs.affinity }}
          {{- toYaml .Values.runs.affinity | nindent 10 }}
          {{- else }}
          podAntiAffinity:
            preferredDuringSchedulingIgnoredDuringExecution:
              - weight: 100
                podAffinityTerm:
                  topologyKey: kubernetes.io/hostname
                  labelSelector:
                    matchLabels:
                      {{- include "engagement.runLabel" . | nindent 22 }}
          {{- end }}
        {{- with .Values.runs.nodeSelector }}
        nodeSelector: {{ toJson . }}
        {{- end }}
        {{- with .Values.runs.tolerations }}
        tolerations: {{ toJson . }}
        {{- end }}
        {{- with .Values.runs.priorityClassName }}
        priorityClassName: {{ . }}
        {{- end }}
      job_spec_config:
        ttlSecondsAfterFinished: {{ .Values.runs.ttlSecondsAfterFinished }}
{{- end }}

{{- define "engagement.workspace" -}}
load_from:
  - grpc_server:
      host: {{ include "engagement.fullname" . }}-code
      port: 4000
      location_name: engagement_platform
{{- end }}

{{/* Starts a program once the code location serves, or after ninety seconds: one that comes first would not look again
for a minute. As JSON: root, program. */}}
{{- define "engagement.afterCode" -}}
{{- $wait := printf "n=0; until healthy.py grpc %s-code:4000 2>/dev/null || [ $n -ge 90 ]; do n=$((n+1)); sleep 1; done; exec \"$@\"" (include "engagement.fullname" .root) }}
{{- concat (list "sh" "-c" $wait "sh") .program | toJson }}
{{- end }}

{{- define "engagement.configuration" -}}
dagster.yaml: |
  {{- include "engagement.dagster" . | nindent 2 }}
workspace.yaml: |
  {{- include "engagement.workspace" . | nindent 2 }}
{{- end }}

{{/* The pod of a component: root, component, values, account, token, container (text), config (name of a ConfigMap). */}}
{{- define "engagement.pod" -}}
metadata:
  labels:
    {{- include "engagement.labels" . | nindent 4 }}
  annotations:
    # Another configuration is another pod.
    engagement-platform/configuration: {{ include "engagement.configuration" .root | sha256sum }}
    {{- with .values.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ .account }}
  automountServiceAccountToken: {{ .token }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace | default 30 }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- include "engagement.podSecurity" .root | nindent 4 }}
  containers:
    - name: {{ .component }}
      image: {{ include "engagement.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      securityContext:
        {{- include "engagement.containerSecurity" .root | nindent 8 }}
      env:
        {{- include "engagement.env" .root | nindent 8 }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
      volumeMounts:
        - {name: configuration, mountPath: /etc/engagement, readOnly: true}
        {{- include "engagement.mounts" .root | nindent 8 }}
      {{- with .values.resources }}
      resources: {{ toJson . }}
      {{- end }}
      {{- .container | nindent 6 }}
  volumes:
    - name: configuration
      configMap: {name: {{ .config | default (include "engagement.fullname" .root) }}}
    {{- include "engagement.volumes" .root | nindent 4 }}
  {{- with .values.nodeSelector }}
  nodeSelector: {{ toJson . }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations: {{ toJson . }}
  {{- end }}
  {{- with .values.affinity }}
  affinity: {{ toJson . }}
  {{- end }}
{{- end }}
