{{- define "elastauth.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "elastauth.selector" -}}
app.kubernetes.io/name: elastauth
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "elastauth.labels" -}}
{{ include "elastauth.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "elastauth.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "elastauth.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "elastauth.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Kinds of providers, as JSON: {"authelia": …, "oidc": …}. */}}
{{- define "elastauth.providers" -}}
{{- $named := .Values.config.auth_provider | default "authelia" -}}
{{- $list := ternary $named (list $named) (kindIs "slice" $named) -}}
{{- dict "authelia" (has "authelia" $list) "oidc" (has "oidc" $list) "count" (len $list) | toJson -}}
{{- end -}}

{{/* With a client CA nobody but a gateway can connect, so probes need a port of their own. */}}
{{- define "elastauth.hasAdmin" -}}
{{- if or .Values.metrics.enabled .Values.gateways.clientCa.secret -}}true{{- end -}}
{{- end -}}

{{- define "elastauth.usesRedis" -}}
{{- if eq (dig "cache" "type" "memory" .Values.config) "redis" -}}true{{- end -}}
{{- end -}}

{{/* How many seconds running requests may take at the end: 15, and 30 in proxy mode. */}}
{{- define "elastauth.drainSeconds" -}}
{{- $ofMode := ternary 30 15 (eq (dig "proxy" "enabled" false .Values.config | toString) "true") -}}
{{- .Values.shutdown.timeoutSeconds | default $ofMode | int -}}
{{- end -}}

{{/* How many seconds a pod has for its end: 6 for Redis and the log, 4 for a slow machine. */}}
{{- define "elastauth.graceSeconds" -}}
{{- $needed := add (int .Values.shutdown.delaySeconds) (include "elastauth.drainSeconds" . | int) 10 -}}
{{- .Values.shutdown.graceSeconds | default $needed | int -}}
{{- end -}}

{{/* The configuration file: what the user wrote, and what the chart knows. */}}
{{- define "elastauth.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" ":5000" -}}
{{- $shutdown := dict "delay" (printf "%ds" (int .Values.shutdown.delaySeconds)) -}}
{{- with .Values.shutdown.timeoutSeconds -}}{{- $_ := set $shutdown "timeout" (printf "%ds" (int .)) -}}{{- end -}}
{{- $_ := set $config "shutdown" $shutdown -}}
{{- if .Values.tls.secret -}}
{{- $tls := dict "cert" "/etc/elastauth/tls/tls.crt" "key" "/etc/elastauth/tls/tls.key" -}}
{{- if .Values.gateways.clientCa.secret -}}
{{- $_ := set $tls "client_ca" (printf "/etc/elastauth/client-ca/%s" .Values.gateways.clientCa.key) -}}
{{- with .Values.gateways.clientCa.names -}}{{- $_ := set $tls "client_names" . -}}{{- end -}}
{{- end -}}
{{- $_ := set $config "tls" $tls -}}
{{- end -}}
{{- with .Values.gateways.peers -}}{{- $_ := set $config "trusted_proxies" . -}}{{- end -}}
{{- if include "elastauth.hasAdmin" . -}}{{- $_ := set $config "admin" (dict "listen" ":5001") -}}{{- end -}}
{{- if .Values.metrics.enabled -}}{{- $_ := set $config "enable_metrics" true -}}{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Configuration keys that come from the Secret, as JSON: key of elastauth -> key of the Secret. */}}
{{- define "elastauth.secretKeys" -}}
{{- $keys := deepCopy .Values.secrets.keys -}}
{{- with .Values.gateways.keys -}}{{- $_ := set $keys "gateway_keys" . -}}{{- end -}}
{{- range $key, $name := $keys -}}{{- if not $name -}}{{- $keys = unset $keys $key -}}{{- end -}}{{- end -}}
{{- toJson $keys -}}
{{- end -}}
