{{/*
A sidecar for a pod of another chart, which has this one among its dependencies:

  initContainers:
    {{- include "spangate.sidecar.initContainers" (dict "root" $ "service" "orders" "app" "8000") | nindent 4 }}
  volumes:
    {{- include "spangate.sidecar.volumes" (dict "root" $) | nindent 4 }}

`root` has the values of this chart: in a chart that depends on it, .Subcharts.spangate. `service`
is the application's name, `app` its port; without it, it is called at the port that was called.
*/}}
{{- define "spangate.sidecar.initContainers" -}}
{{- $root := .root -}}
{{- $sidecar := .root.Values.sidecar -}}
{{- if $sidecar.redirect }}
- name: spangate-redirect
  image: {{ include "spangate.image" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  args: ["redirect", "install", "/etc/spangate/routes.toml", "--user", {{ $sidecar.uid | toString | quote }}]
  env:
    - name: NODE_IP
      valueFrom: { fieldRef: { fieldPath: status.hostIP } }
    {{- include "spangate.otlpEnv" $root | nindent 4 }}
    {{- with $sidecar.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    requests: { cpu: 10m, memory: 48Mi }
    limits: { memory: 128Mi }
  securityContext:
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      add: [NET_ADMIN]
    seccompProfile: { type: RuntimeDefault }
  volumeMounts:
    - { name: spangate-config, mountPath: /etc/spangate, readOnly: true }
{{- end }}
- name: spangate
  image: {{ include "spangate.image" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  restartPolicy: Always
  args: ["sidecar", "/etc/spangate/routes.toml"]
  env:
    {{- include "spangate.podEnv" $root | nindent 4 }}
    {{- include "spangate.otlpEnv" $root | nindent 4 }}
    {{- with .service }}
    - name: SPANGATE_SERVICE
      value: {{ . | quote }}
    {{- end }}
    {{- with .app }}
    - name: SPANGATE_APP
      value: {{ . | toString | quote }}
    {{- end }}
    {{- with $sidecar.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - { name: inbound, containerPort: 15006 }
    - { name: spangate-admin, containerPort: 9901 }
  {{- include "spangate.probes" $root | nindent 2 }}
  resources:
    {{- toYaml $sidecar.resources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $sidecar.uid }}
    runAsGroup: {{ $sidecar.uid }}
    seccompProfile: { type: RuntimeDefault }
    {{- include "spangate.containerSecurity" $root | nindent 4 }}
  volumeMounts:
    - { name: spangate-config, mountPath: /etc/spangate, readOnly: true }
{{- end -}}

{{- define "spangate.sidecar.volumes" -}}
- name: spangate-config
  configMap:
    name: {{ include "spangate.fullname" .root }}-sidecar
{{- end -}}
