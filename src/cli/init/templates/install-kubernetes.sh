#!/bin/sh
# Installs elastauth into the namespace `search`. CHART is the folder deploy/helm/elastauth of the
# sources, or the chart of a release.
set -eu
cd "$(dirname "$0")"
chart=${CHART:?set CHART to the folder deploy/helm/elastauth of the sources}
kubectl get namespace search >/dev/null 2>&1 || kubectl create namespace search
kubectl -n search create secret generic elastauth \
  --from-file=secret_key=secrets/secret_key \
  --from-file=gateway_key=secrets/gateway_key \
  --from-file=elasticsearch_password=secrets/elasticsearch_password
@CA@# Traefik reads it in its own namespace: docs/gateways/traefik.md has the values for its chart.
kubectl -n "${TRAEFIK_NAMESPACE:-traefik}" create secret generic gateway-key \
  --from-file=key=secrets/gateway_key
helm install elastauth "$chart" --namespace search --values values.yaml
