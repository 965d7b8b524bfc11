//! Our rules for rendered objects: what a schema cannot know. Each rule says what is wrong as a
//! sentence.

use serde_json::Value;

/// What follows in the longest end of elastauth: Redis (5 s), the last log lines (1 s).
const AFTER_REQUESTS: u64 = 6;

/// Everything that is wrong with these objects.
pub(super) fn faults(objects: &[Value]) -> Vec<String> {
    let Some(deployment) = of_kind(objects, "Deployment").next() else {
        return vec!["no Deployment is rendered".to_owned()];
    };
    let mut faults = Vec::new();
    pod(&deployment["spec"]["template"]["spec"], &mut faults);
    end(objects, deployment, &mut faults);
    selectors(objects, deployment, &mut faults);
    network(objects, deployment, &mut faults);
    if of_kind(objects, "Secret").next().is_some() {
        faults.push("a Secret is rendered, so its content is in the release".to_owned());
    }
    let scaled = of_kind(objects, "HorizontalPodAutoscaler").next().is_some();
    if scaled == deployment["spec"]["replicas"].is_u64() {
        faults.push(
            "replicas are set by both or neither of Deployment and HorizontalPodAutoscaler"
                .to_owned(),
        );
    }
    faults
}

fn of_kind<'o>(objects: &'o [Value], kind: &'static str) -> impl Iterator<Item = &'o Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn pod(spec: &Value, faults: &mut Vec<String>) {
    let mut must = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    let shared = ["hostNetwork", "hostPID", "hostIPC"];
    must(
        shared.iter().all(|key| spec[key] != true),
        "the pod shares a namespace of the node",
    );
    must(
        spec["automountServiceAccountToken"] == false,
        "the pod gets a token of Kubernetes, which it does not need",
    );
    must(
        spec["enableServiceLinks"] == false,
        "Kubernetes sets ELASTAUTH_* variables (enableServiceLinks)",
    );
    let security = &spec["securityContext"];
    must(security["runAsNonRoot"] == true, "the pod may run as root");
    must(
        security["runAsUser"].as_u64().is_some_and(|user| user > 0),
        "the pod names no user",
    );
    must(
        security["seccompProfile"]["type"] == "RuntimeDefault",
        "the pod has no seccomp profile",
    );
    must(
        list(&spec["volumes"])
            .iter()
            .all(|volume| volume["hostPath"].is_null()),
        "the pod mounts a folder of the node",
    );
    for container in list(&spec["containers"]) {
        let security = &container["securityContext"];
        must(
            security["readOnlyRootFilesystem"] == true,
            "the root file system can be written",
        );
        must(
            security["allowPrivilegeEscalation"] == false && security["privileged"] != true,
            "the container may gain privileges",
        );
        must(
            security["capabilities"]["drop"] == serde_json::json!(["ALL"])
                && security["capabilities"]["add"].is_null(),
            "the container keeps capabilities",
        );
        let image = container["image"].as_str().unwrap_or_default();
        must(
            image.contains(':') && !image.ends_with(":latest"),
            "the image has no fixed version",
        );
        must(
            container["resources"]["limits"]["memory"].is_string(),
            "the container's memory has no limit",
        );
        must(
            list(&container["volumeMounts"])
                .iter()
                .all(|mount| mount["readOnly"] == true && mount["subPath"].is_null()),
            "a mount can be written, or never changes (subPath)",
        );
        must(
            list(&container["env"]).iter().all(|variable| {
                let name = variable["name"].as_str().unwrap_or_default();
                let secret = ["KEY", "PASSWORD", "SECRET", "TOKEN"];
                !secret.iter().any(|word| name.ends_with(word))
            }),
            "a variable holds a secret",
        );
        for probe in ["startupProbe", "livenessProbe"] {
            must(
                container[probe]["httpGet"]["path"] == "/elastauth/live",
                "a pod may be killed because the cluster is away",
            );
        }
        must(
            container["readinessProbe"]["httpGet"]["path"] == "/elastauth/ready",
            "readiness is not asked",
        );
        let ports: Vec<&Value> = list(&container["ports"])
            .iter()
            .map(|port| &port["name"])
            .collect();
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            must(
                ports.contains(&&container[probe]["httpGet"]["port"]),
                "a probe asks a port that the container does not have",
            );
        }
    }
}

/// Kubernetes waits for the delay of the configuration, and then for the whole end.
fn end(objects: &[Value], deployment: &Value, faults: &mut Vec<String>) {
    let spec = &deployment["spec"]["template"]["spec"];
    let graced = spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(0);
    let mut texts =
        of_kind(objects, "ConfigMap").filter_map(|map| map["data"]["config.yml"].as_str());
    let longest = texts.find_map(|text| {
        let of_mode = if text.contains("proxy:\n  enabled: true") {
            30
        } else {
            15
        };
        let requests = at_the_end(text, "timeout: ").unwrap_or(of_mode);
        Some(at_the_end(text, "delay: ")? + requests + AFTER_REQUESTS)
    });
    match longest {
        Some(longest) if graced >= longest => {}
        Some(_) => faults.push("the pod is killed before elastauth has ended".to_owned()),
        None => faults.push("the configuration has no `shutdown.delay`".to_owned()),
    }
}

/// A number of seconds of the section `shutdown`.
fn at_the_end(config: &str, key: &str) -> Option<u64> {
    let (_, section) = config.split_once("shutdown:\n")?;
    let lines = section.lines().take_while(|line| line.starts_with("  "));
    let mut values = lines.filter_map(|line| line.trim_start().strip_prefix(key));
    values.next()?.strip_suffix('s')?.parse().ok()
}

fn selectors(objects: &[Value], deployment: &Value, faults: &mut Vec<String>) {
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let selects = |selector: &Value| {
        selector.as_object().is_some_and(|wanted| {
            !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value)
        })
    };
    if !selects(&deployment["spec"]["selector"]["matchLabels"]) {
        faults.push("the Deployment does not select its own pods".to_owned());
    }
    for (kind, path) in [
        ("Service", "/spec/selector"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
    ] {
        for object in of_kind(objects, kind) {
            if !object.pointer(path).is_some_and(selects) {
                faults.push(format!("the {kind} does not select the pods"));
            }
        }
    }
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let has_port = |port: &Value| {
        list(&container["ports"])
            .iter()
            .any(|one| one["name"] == *port)
    };
    for service in of_kind(objects, "Service") {
        if !list(&service["spec"]["ports"])
            .iter()
            .all(|port| has_port(&port["targetPort"]))
        {
            faults.push("the Service leads to a port that the pods do not have".to_owned());
        }
    }
    for monitor in of_kind(objects, "ServiceMonitor") {
        let mut offered =
            of_kind(objects, "Service").flat_map(|service| list(&service["spec"]["ports"]));
        let asked = &monitor["spec"]["endpoints"][0]["port"];
        if !offered.any(|port| port["name"] == *asked) {
            faults.push("the ServiceMonitor asks a port that the Service does not have".to_owned());
        }
    }
    for budget in of_kind(objects, "PodDisruptionBudget") {
        let allowed = budget["spec"]["maxUnavailable"].as_u64();
        let replicas = deployment["spec"]["replicas"].as_u64();
        if let (Some(allowed), Some(replicas)) = (allowed, replicas)
            && allowed >= replicas
        {
            faults.push("all replicas may be drained at once".to_owned());
        }
    }
}

fn network(objects: &[Value], deployment: &Value, faults: &mut Vec<String>) {
    let Some(policy) = of_kind(objects, "NetworkPolicy").next() else {
        faults.push("no NetworkPolicy is rendered".to_owned());
        return;
    };
    let spec = &policy["spec"];
    for direction in ["Ingress", "Egress"] {
        if !list(&spec["policyTypes"])
            .iter()
            .any(|kind| *kind == direction)
        {
            faults.push(format!("the NetworkPolicy does not limit {direction}"));
        }
    }
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let mut let_in = Vec::new();
    for rule in list(&spec["ingress"]) {
        let peers = list(&rule["from"]);
        let everybody = |peer: &Value| {
            let chosen = peer["namespaceSelector"]
                .as_object()
                .or(peer["podSelector"].as_object());
            chosen.is_none_or(serde_json::Map::is_empty) && peer["ipBlock"].is_null()
        };
        if peers.is_empty() || peers.iter().any(everybody) {
            faults.push("the NetworkPolicy lets every pod in".to_owned());
        }
        let_in.extend(list(&rule["ports"]).iter().map(|port| &port["port"]));
    }
    for port in list(&container["ports"]) {
        // The kubelet is on the node and needs no rule.
        if !let_in.contains(&&port["name"]) && port["name"] != "admin" {
            faults.push(format!("nobody may reach the port {}", port["name"]));
        }
    }
    for rule in list(&spec["egress"]) {
        if list(&rule["ports"]).is_empty() {
            faults.push("the NetworkPolicy lets elastauth connect to every port".to_owned());
        }
    }
    if list(&spec["egress"]).is_empty() {
        faults.push("elastauth may connect to nothing".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Vec<Value> {
        let labels = json!({"app": "elastauth"});
        let probe = |path: &str| json!({"httpGet": {"path": path, "port": "auth"}});
        vec![
            json!({"kind": "Deployment", "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "volumes": [],
                    "containers": [{
                        "image": "elastauth:3",
                        "securityContext": {
                            "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "resources": {"limits": {"memory": "1Gi"}},
                        "volumeMounts": [{"name": "config", "readOnly": true}],
                        "env": [{"name": "ELASTAUTH_SECRET_KEY_FILE", "value": "/x"}],
                        "ports": [{"name": "auth"}],
                        "startupProbe": probe("/elastauth/live"),
                        "livenessProbe": probe("/elastauth/live"),
                        "readinessProbe": probe("/elastauth/ready"),
                    }],
                }},
            }}),
            json!({"kind": "Service", "spec": {
                "selector": labels, "ports": [{"name": "auth", "targetPort": "auth"}],
            }}),
            json!({"kind": "NetworkPolicy", "spec": {
                "podSelector": {"matchLabels": labels},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{
                    "from": [{"podSelector": {"matchLabels": {"app": "traefik"}}}],
                    "ports": [{"port": "auth"}],
                }],
                "egress": [{"ports": [{"port": 9200}]}],
            }}),
            json!({"kind": "PodDisruptionBudget", "spec": {
                "maxUnavailable": 1, "selector": {"matchLabels": labels},
            }}),
            json!({"kind": "ConfigMap", "data": {
                "config.yml": "listen: :5000\nshutdown:\n  delay: 5s\ntls: {}\n",
            }}),
        ]
    }

    #[test]
    fn a_good_set_of_objects_has_no_fault() {
        assert_eq!(faults(&good()), Vec::<String>::new());
    }

    #[test]
    fn each_broken_object_is_found() {
        const POD: &str = "/spec/template/spec";
        const CONTAINER: &str = "/spec/template/spec/containers/0";
        let broken = [
            (0, POD, "hostNetwork", json!(true), "shares a namespace"),
            (
                0,
                POD,
                "automountServiceAccountToken",
                json!(true),
                "a token of Kubernetes",
            ),
            (0, POD, "enableServiceLinks", Value::Null, "ELASTAUTH_*"),
            (
                0,
                POD,
                "terminationGracePeriodSeconds",
                json!(25),
                "killed before",
            ),
            (
                0,
                POD,
                "volumes",
                json!([{"hostPath": {"path": "/"}}]),
                "a folder of the node",
            ),
            (0, POD, "securityContext", json!({}), "may run as root"),
            (0, CONTAINER, "securityContext", json!({}), "can be written"),
            (
                0,
                CONTAINER,
                "image",
                json!("elastauth"),
                "no fixed version",
            ),
            (0, CONTAINER, "resources", json!({}), "no limit"),
            (
                0,
                CONTAINER,
                "volumeMounts",
                json!([{"readOnly": true, "subPath": "x"}]),
                "subPath",
            ),
            (
                0,
                CONTAINER,
                "env",
                json!([{"name": "SECRET_KEY"}]),
                "holds a secret",
            ),
            (
                0,
                CONTAINER,
                "livenessProbe",
                json!({"httpGet": {"path": "/elastauth/ready"}}),
                "may be killed",
            ),
            (
                0,
                CONTAINER,
                "ports",
                json!([{"name": "other"}]),
                "a probe asks a port",
            ),
            (0, "/spec", "replicas", json!(1), "drained at once"),
            (0, "/spec", "replicas", Value::Null, "both or neither"),
            (
                1,
                "/spec",
                "selector",
                json!({"app": "other"}),
                "Service does not select",
            ),
            (
                1,
                "/spec",
                "ports",
                json!([{"targetPort": "other"}]),
                "leads to a port",
            ),
            (
                2,
                "/spec",
                "podSelector",
                json!({}),
                "NetworkPolicy does not select",
            ),
            (
                2,
                "/spec",
                "policyTypes",
                json!(["Ingress"]),
                "does not limit Egress",
            ),
            (
                2,
                "/spec",
                "ingress",
                json!([{"ports": [{"port": "auth"}]}]),
                "lets every pod in",
            ),
            (
                2,
                "/spec",
                "ingress",
                json!([{"from": [{"namespaceSelector": {}}], "ports": [{"port": "auth"}]}]),
                "lets every pod in",
            ),
            (2, "/spec", "ingress", json!([]), "nobody may reach"),
            (2, "/spec", "egress", json!([{"to": []}]), "every port"),
            (2, "/spec", "egress", json!([]), "connect to nothing"),
            (
                3,
                "/spec",
                "selector",
                json!({}),
                "PodDisruptionBudget does not select",
            ),
            (4, "", "data", json!({}), "no `shutdown.delay`"),
        ];
        for (object, path, key, value, expected) in broken {
            let mut objects = good();
            if let Some(place) = objects[object].pointer_mut(path) {
                place[key] = value;
            }
            let found = faults(&objects);
            assert!(
                found.iter().any(|fault| fault.contains(expected)),
                "{path}/{key}: {found:?}"
            );
        }
        let mut objects = good();
        objects.push(json!({"kind": "Secret"}));
        assert_eq!(faults(&objects).len(), 1);
        assert_eq!(faults(&good()[1..]), ["no Deployment is rendered"]);
        let without_policy: Vec<Value> = good()
            .into_iter()
            .filter(|one| one["kind"] != "NetworkPolicy")
            .collect();
        assert_eq!(faults(&without_policy), ["no NetworkPolicy is rendered"]);
    }
}
