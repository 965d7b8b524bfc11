//! The files of the guide for Envoy Gateway: as the published schemas say, and no way to an
//! application past elastauth.

use super::tools;
use crate::shell;
use anyhow::{Context, bail};
use serde_json::Value;

const FILES: [&str; 2] = ["gateway.yaml", "routes.yaml"];
/// What elastauth is in front of.
const BEHIND: [&str; 2] = ["elasticsearch", "kibana"];

pub(super) fn check() -> anyhow::Result<()> {
    let mut objects = Vec::new();
    for file in FILES {
        let path = shell::root().join("docs/gateways/envoy-gateway").join(file);
        let yaml = std::fs::read_to_string(&path)?;
        tools::hold_to_schema(&yaml).with_context(|| file.to_owned())?;
        objects.extend(tools::values(&yaml)?);
    }
    let faults = faults(&objects);
    if !faults.is_empty() {
        bail!("docs/gateways/envoy-gateway:\n{}", faults.join("\n"));
    }
    println!("envoy-gateway: {} objects", objects.len());
    Ok(())
}

fn faults(objects: &[Value]) -> Vec<String> {
    let of_kind = |kind: &'static str| objects.iter().filter(move |one| one["kind"] == kind);
    let mut faults = Vec::new();

    let order = of_kind("EnvoyProxy").next();
    let order = order.and_then(|proxy| proxy["spec"]["filterOrder"].as_array());
    for filter in ["oauth2", "credential_injector"] {
        let is_before = order.into_iter().flatten().any(|one| {
            one["name"] == format!("envoy.filters.http.{filter}")
                && one["before"] == "envoy.filters.http.ext_authz"
        });
        if !is_before {
            faults.push(format!("{filter} is not before ext_authz"));
        }
    }

    for route in of_kind("HTTPRoute") {
        let name = &route["metadata"]["name"];
        let policy = of_kind("SecurityPolicy").find(|policy| {
            let targets = policy["spec"]["targetRefs"].as_array();
            targets
                .into_iter()
                .flatten()
                .any(|target| target["kind"] == "HTTPRoute" && target["name"] == *name)
        });
        let asks = policy.is_some_and(|policy| {
            let spec = &policy["spec"];
            spec["extAuth"]["http"]["backendRefs"][0]["name"] == "elastauth"
                && spec["extAuth"]["failOpen"] == false
                && spec["authorization"]["defaultAction"] == "Deny"
        });
        for rule in route["spec"]["rules"].as_array().into_iter().flatten() {
            let leads = rule["backendRefs"].as_array().into_iter().flatten();
            let leads = leads.filter_map(|backend| backend["name"].as_str());
            if !leads.into_iter().any(|name| BEHIND.contains(&name)) {
                continue;
            }
            let removed = |header: &str| {
                let filters = rule["filters"].as_array().into_iter().flatten();
                filters
                    .filter_map(|filter| filter["requestHeaderModifier"]["remove"].as_array())
                    .flatten()
                    .any(|name| name == header)
            };
            let matches = rule["matches"].as_array();
            let is_preflight = matches.is_some_and(|matches| {
                matches.iter().all(|one| {
                    one["method"] == "OPTIONS"
                        && one["headers"]
                            .as_array()
                            .is_some_and(|list| list.len() == 2)
                })
            });
            let without_credentials = removed("authorization") && removed("cookie");
            if !(asks && removed("x-elastauth-key") || is_preflight && without_credentials) {
                faults.push(format!("the route {name} leads past elastauth"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_without_a_policy_leads_past_elastauth() {
        let route = json!({
            "kind": "HTTPRoute",
            "metadata": {"name": "kibana"},
            "spec": {"rules": [{"backendRefs": [{"name": "kibana", "port": 5601}]}]},
        });
        let seen = faults(&[route]);
        assert!(
            seen.iter()
                .any(|fault| fault.contains("\"kibana\" leads past")),
            "{seen:?}"
        );
        assert!(seen.iter().any(|fault| fault.starts_with("oauth2")));
    }
}
