{{/*
What the chart refuses to render, and what to do about it. Everything is said at once. elastauth
itself checks the configuration when it starts.
*/}}
{{- define "elastauth.refuse" -}}
{{- $v := .Values -}}
{{- $faults := list -}}
{{- $providers := include "elastauth.providers" . | fromJson -}}
{{- if not $v.secrets.existing -}}
{{- $more := ternary (printf " (with %v providers it needs a common secret_key all the more: the provider is part of every password)" $providers.count) "" (gt (int $providers.count) 1) -}}
{{- $faults = append $faults (printf "secrets.existing is not set%s. Make a Secret and name it there: kubectl create secret generic elastauth --from-literal=secret_key=$(elastauth generate-key) --from-literal=gateway_keys=$(elastauth generate-key) --from-literal=elasticsearch_password=…" $more) -}}
{{- end -}}
{{- if not (get $v.secrets.keys "secret_key") -}}
{{- $faults = append $faults "secrets.keys.secret_key is empty. Every replica needs the same secret_key: name the key of the Secret that holds it" -}}
{{- end -}}
{{- if not (or $v.gateways.keys $v.gateways.clientCa.secret $v.gateways.peers) -}}
{{- $faults = append $faults "elastauth has no way to know a gateway, so every pod could name any user. Set gateways.keys (the key of the Secret with the gateways' keys, for example gateway_keys), gateways.clientCa.secret, or gateways.peers" -}}
{{- end -}}
{{- if and $v.gateways.clientCa.secret (not $v.tls.secret) -}}
{{- $faults = append $faults "gateways.clientCa.secret needs tls.secret: without TLS nobody can show a client certificate" -}}
{{- end -}}
{{- if and $v.gateways.clientCa.names (not $v.gateways.clientCa.secret) -}}
{{- $faults = append $faults "gateways.clientCa.names counts only with gateways.clientCa.secret" -}}
{{- end -}}
{{- range $peer := $v.gateways.peers -}}
{{- if has $peer (list "0.0.0.0/0" "::/0") -}}
{{- $faults = append $faults (printf "gateways.peers has %s, which is everybody. List the network of the gateways" $peer) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "listen" "listeners" "tls" "trusted_proxies" "gateway_keys" "admin" "enable_metrics" "shutdown" -}}
{{- if hasKey $v.config $key -}}
{{- $instead := get (dict "listen" "service.port" "listeners" "service.port and metrics.enabled" "tls" "tls.secret" "trusted_proxies" "gateways.peers" "gateway_keys" "gateways.keys" "admin" "metrics.enabled" "enable_metrics" "metrics.enabled" "shutdown" "shutdown.delaySeconds and shutdown.timeoutSeconds") $key -}}
{{- $faults = append $faults (printf "config.%s is set by the chart; use %s instead" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- range $path := list "secret_key" "secret_key_previous" "elasticsearch.password" "elasticsearch.api_key" "cache.redis_password" "oidc.client_secret" "oidc.private_key" -}}
{{- $found := $v.config -}}
{{- range $part := splitList "." $path -}}
{{- $found = ternary (get (ternary $found (dict) (kindIs "map" $found)) $part) "" (kindIs "map" $found) -}}
{{- end -}}
{{- if $found -}}
{{- $faults = append $faults (printf "config.%s is a secret, and config is readable in a ConfigMap. Put it into the Secret and name it in secrets.keys: \"%s\": <key of the Secret>" $path $path) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "://[^/@]*:[^/@]+@" (dig "redis" "url" "" $v.config) -}}
{{- $faults = append $faults "config.redis.url has a password, and config is readable in a ConfigMap. Leave it out of the URL and name it in secrets.keys: \"cache.redis_password\": <key of the Secret>" -}}
{{- end -}}
{{- if eq (dig "cache" "type" "memory" $v.config) "file" -}}
{{- $faults = append $faults "config.cache.type is file, and the pods have no disk of their own. Use redis, or leave it out" -}}
{{- end -}}
{{- $drain := include "elastauth.drainSeconds" . | int -}}
{{- $grace := include "elastauth.graceSeconds" . | int -}}
{{- $longest := add (int $v.shutdown.delaySeconds) $drain 6 | int -}}
{{- if lt $grace $longest -}}
{{- $faults = append $faults (printf "shutdown.graceSeconds is %d: Kubernetes would kill a pod before it has ended. The end takes up to %d s (shutdown.delaySeconds, %d s for running requests, and 6 s)" $grace $longest $drain) -}}
{{- end -}}
{{- if and $v.ca.secret $v.ca.configMap -}}
{{- $faults = append $faults "ca.secret and ca.configMap are both set; use one" -}}
{{- end -}}
{{- if and $v.serviceMonitor.enabled (not $v.metrics.enabled) -}}
{{- $faults = append $faults "serviceMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- if not $v.networkPolicy.gateways -}}
{{- $faults = append $faults "networkPolicy.gateways is empty, which is everybody. List the pods of the gateways" -}}
{{- end -}}
{{- if and $v.metrics.enabled (not $v.networkPolicy.monitoring) -}}
{{- $faults = append $faults "networkPolicy.monitoring is empty, which is everybody. List the pods that read metrics" -}}
{{- end -}}
{{- end -}}
{{- if $v.traefik.enabled -}}
{{- if and $providers.authelia (not $v.traefik.autheliaMiddleware) -}}
{{- $faults = append $faults "traefik.autheliaMiddleware is not set, so nobody would say who the user is. Name the Middleware that asks Authelia, or set config.auth_provider to oidc" -}}
{{- end -}}
{{- if and $v.gateways.keys (not $v.traefik.gatewayKeyMiddleware) -}}
{{- $faults = append $faults "traefik.gatewayKeyMiddleware is not set, so elastauth would refuse Traefik. Make a Middleware that sets X-Elastauth-Key and name it" -}}
{{- end -}}
{{- if and $v.gateways.clientCa.secret (not $v.traefik.clientCertSecret) -}}
{{- $faults = append $faults "traefik.clientCertSecret is not set, so elastauth would refuse Traefik. Name the Secret with Traefik's client certificate" -}}
{{- end -}}
{{- end -}}
{{- if $v.gatewayApi.enabled -}}
{{- if not $v.gatewayApi.parentRefs -}}
{{- $faults = append $faults "gatewayApi.parentRefs is empty. Name your Gateway" -}}
{{- end -}}
{{- if not $v.gatewayApi.hostnames -}}
{{- $faults = append $faults "gatewayApi.hostnames is empty, so the route would take every host of the Gateway. Name the application's host" -}}
{{- end -}}
{{- if and (eq $v.gatewayApi.auth "traefik") (not $v.traefik.enabled) -}}
{{- $faults = append $faults "gatewayApi.auth is traefik and traefik.enabled is false. Enable it, or set gatewayApi.auth to external" -}}
{{- end -}}
{{- if and (eq $v.gatewayApi.auth "external") $providers.authelia -}}
{{- $faults = append $faults "gatewayApi.auth is external and identity headers count: nothing would remove the client's own Remote-User before elastauth reads it. Set config.auth_provider to oidc, or use gatewayApi.auth traefik" -}}
{{- end -}}
{{- if and (eq $v.gatewayApi.auth "external") $v.tls.secret (not $v.gatewayApi.caConfigMap) -}}
{{- $faults = append $faults "gatewayApi.caConfigMap is not set: the gateway has to verify elastauth's certificate" -}}
{{- end -}}
{{- end -}}
{{- if $faults -}}
{{- fail (printf "\n\n- %s\n" (join "\n- " $faults)) -}}
{{- end -}}
{{- end -}}
