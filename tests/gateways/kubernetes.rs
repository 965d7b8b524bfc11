//! What Kubernetes does with the pods of the chart, with the numbers that the chart renders: the
//! kubelet probes them, the Service spreads new connections over those that are ready, and the
//! Deployment replaces one pod after the other. A pod is elastauth on a port of its own.
//!
//! The chart's middleware asks at the Service, so Traefik itself knows no pods: kube-proxy chooses
//! one for each new connection, and a connection stays with its pod until one side closes it.

use crate::{
    gateway::GATEWAY_KEY,
    stage::SECRET_KEY,
    support::{
        Why, elastauth::Elastauth, find, http::Server, part, pause, pause_until, ports,
        process::command,
    },
};
use elastauth::internals::demo::standin::StandIn;
use http::{Method, StatusCode};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

/// Until the nodes have learned that a pod is ready, or is to end.
const PROPAGATION: Duration = Duration::from_secs(1);

/// Each pod has to get connections within this.
const WITHIN: Duration = Duration::from_secs(30);
/// How often a pod that ends is asked whether it is ready.
const AGAIN: Duration = Duration::from_millis(50);

/// What the chart renders.
#[derive(Debug)]
pub(crate) struct Chart {
    /// elastauth's configuration, on a port that it chooses.
    config: String,
    environment: Vec<(String, String)>,
    startup: Probe,
    readiness: Probe,
    /// What is mounted: the Secret.
    _mounted: TempDir,
}

impl Chart {
    /// With these values on top.
    ///
    /// # Panics
    /// Where it renders something that the pods here do not follow.
    pub(crate) fn rendered(cluster: &StandIn, values: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut helm = command(part("deploy/bin/helm"));
        helm.args(["template", "auth"])
            .arg(root.join("deploy/helm/elastauth"))
            .args(["--namespace=sso", "--kube-version=1.37.0"]);
        let hosts = format!("config.elasticsearch.hosts={{{}}}", cluster.url());
        let own = [
            "secrets.existing=elastauth",
            "gateways.keys=gateway_keys",
            "config.authelia.groups_required=true",
            "config.group_mappings.search-readers={viewer}",
            &hosts,
        ];
        for value in own.iter().chain(values) {
            helm.args(["--set", value]);
        }
        let output = helm.output().expect("helm");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("YAML");
        // What the pods here follow by their code.
        for rule in [
            "rollingUpdate: {maxSurge: 1, maxUnavailable: 0}",
            "kind: PodDisruptionBudget",
            "\nspec:\n  maxUnavailable: 1\n",
        ] {
            assert!(text.contains(rule), "the chart does not have {rule:?}");
        }

        let mounted = tempfile::tempdir().expect("a folder for the Secret");
        std::fs::create_dir(mounted.path().join("secrets")).expect("a folder for the Secret");
        for (name, value) in [
            ("gateway_keys", GATEWAY_KEY),
            ("secret_key", SECRET_KEY),
            ("elasticsearch_password", cluster.service_password()),
        ] {
            std::fs::write(mounted.path().join("secrets").join(name), value).expect("a secret");
        }
        let here = format!("{}/", mounted.path().display());
        let config = after(&text, "  config.yml: |\n");
        let config = config.lines().map_while(|line| line.strip_prefix("    "));
        let config = config.collect::<Vec<_>>().join("\n");
        assert!(config.contains("listen: :5000"), "{config}");
        let environment = text.split("- name: ELASTAUTH_").skip(1).map(|variable| {
            let (name, rest) = variable.split_once('\n').expect("a variable");
            let value = after(rest, "value: ").lines().next().unwrap_or_default();
            let value = value.replace("/etc/elastauth/", &here);
            (format!("ELASTAUTH_{name}"), value)
        });
        Self {
            config: config
                .replace("listen: :5000", "listen: 127.0.0.1:0")
                .replace("/etc/elastauth/", &here),
            environment: environment.collect(),
            startup: Probe::of(&text, "startupProbe:"),
            readiness: Probe::of(&text, "readinessProbe:"),
            _mounted: mounted,
        }
    }
}

/// What follows this in a text.
fn after<'t>(text: &'t str, mark: &str) -> &'t str {
    let found = text.split_once(mark);
    found.unwrap_or_else(|| panic!("no {mark:?} in {text}")).1
}

/// How the kubelet asks.
#[derive(Debug, Clone)]
struct Probe {
    path: String,
    period: Duration,
    failures: u32,
}

impl Probe {
    fn of(text: &str, name: &str) -> Self {
        let text = after(text, name);
        let word = |key: &str| {
            let mut words = after(text, key).split_whitespace();
            words.next().unwrap_or_default()
        };
        let number = |key: &str| word(key).parse().expect("a number");
        Self {
            path: word("path: ").to_owned(),
            period: Duration::from_secs(u64::from(number("periodSeconds: "))),
            failures: number("failureThreshold: "),
        }
    }

    async fn status(&self, pod: &Server) -> Option<StatusCode> {
        let asked = pod.try_ask(Method::GET, &self.path, &[], None).await;
        asked.ok().map(|answer| answer.status)
    }

    async fn succeeds(&self, pod: &Server) -> bool {
        self.status(pod).await == Some(StatusCode::OK)
    }

    /// Asks until it succeeds.
    async fn awaited(&self, pod: &Server) {
        let mut failed = 0;
        while !self.succeeds(pod).await {
            failed += 1;
            assert!(failed < 30, "{} does not succeed", self.path);
            pause(Why::Again, self.period).await;
        }
    }
}

/// The address of all pods that are ready.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) port: u16,
    pods: Arc<Mutex<Pods>>,
    changes: mpsc::UnboundedSender<(Instant, Change)>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Pods {
    /// The ports of those that get new connections.
    ready: Vec<u16>,
    next: usize,
    /// How many connections each has got.
    opened: BTreeMap<u16, usize>,
}

#[derive(Debug)]
enum Change {
    Add(u16),
    Remove(u16),
}

impl Service {
    pub(crate) async fn start() -> Self {
        let listener = ports::listener().await;
        let port = listener.local_addr().expect("its address").port();
        let pods = Arc::<Mutex<Pods>>::default();
        let (changes, due) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(forward(listener, Arc::clone(&pods)));
        tasks.spawn(learn(due, Arc::clone(&pods)));
        Self {
            port,
            pods,
            changes,
            _tasks: tasks,
        }
    }

    fn is_to(&self, change: Change) {
        let due = Instant::now() + PROPAGATION;
        self.changes.send((due, change)).expect("the Service runs");
    }

    /// Waits until so many pods get new connections, and each has got one.
    pub(crate) async fn spreads_over(&self, count: usize) {
        find("connections to each pod", WITHIN, async || {
            let pods = self.pods.lock().expect("the pods");
            let asked = pods.ready.iter().filter(|pod| pods.opened[pod] > 0).count();
            (pods.ready.len() == count && asked == count).then_some(())
        })
        .await;
    }

    /// How many pods there were.
    pub(crate) fn seen(&self) -> usize {
        self.pods.lock().expect("the pods").opened.len()
    }
}

/// Each new connection goes to the next pod.
async fn forward(listener: TcpListener, pods: Arc<Mutex<Pods>>) {
    let mut open = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let pod = {
            let mut pods = pods.lock().expect("the pods");
            pods.next += 1;
            let at = pods.next % pods.ready.len().max(1);
            let pod = pods.ready.get(at).copied();
            if let Some(pod) = pod {
                *pods.opened.entry(pod).or_default() += 1;
            }
            pod
        };
        // Without pods it is refused.
        let Some(pod) = pod else { continue };
        open.spawn(async move {
            if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, pod)).await {
                let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
        while open.try_join_next().is_some() {}
    }
}

/// Changes arrive late, and in their order.
async fn learn(mut due: mpsc::UnboundedReceiver<(Instant, Change)>, pods: Arc<Mutex<Pods>>) {
    while let Some((at, change)) = due.recv().await {
        pause_until(Why::Pace, at).await;
        let mut pods = pods.lock().expect("the pods");
        match change {
            Change::Add(pod) => {
                pods.opened.entry(pod).or_default();
                pods.ready.push(pod);
            }
            Change::Remove(pod) => pods.ready.retain(|one| *one != pod),
        }
    }
}

#[derive(Debug)]
struct Pod {
    elastauth: Elastauth,
    kubelet: AbortHandle,
}

/// The pods of the chart.
#[derive(Debug)]
pub(crate) struct Deployment {
    chart: Chart,
    service: Arc<Service>,
    /// The oldest first.
    pods: Vec<Pod>,
    ending: JoinSet<()>,
}

impl Deployment {
    pub(crate) fn new(chart: Chart, service: &Arc<Service>) -> Self {
        Self {
            chart,
            service: Arc::clone(service),
            pods: Vec::new(),
            ending: JoinSet::new(),
        }
    }

    /// Returns when so many are ready, and the others have ended.
    pub(crate) async fn scale(&mut self, replicas: usize) {
        while self.pods.len() < replicas {
            let pod = self.started().await;
            self.pods.push(pod);
        }
        while self.pods.len() > replicas {
            self.delete();
        }
        self.settled().await;
    }

    /// `kubectl rollout restart`: a new pod is ready before an old one is deleted (`maxSurge: 1`,
    /// `maxUnavailable: 0`).
    pub(crate) async fn restart(&mut self) {
        for _ in 0..self.pods.len() {
            let pod = self.started().await;
            self.pods.push(pod);
            self.delete();
        }
        self.settled().await;
    }

    /// A node is drained: a pod is deleted (its disruption budget allows one), and only then
    /// another one starts.
    pub(crate) async fn evict(&mut self) {
        self.delete();
        let pod = self.started().await;
        self.pods.push(pod);
        self.settled().await;
    }

    /// Starts a pod, and returns when it is ready.
    async fn started(&self) -> Pod {
        let chart = &self.chart;
        let environment: Vec<(&str, &str)> = chart
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let elastauth = Elastauth::start_anywhere_in(&chart.config, &[], &environment).await;
        let server = elastauth.server().clone();
        chart.startup.awaited(&server).await;
        chart.readiness.awaited(&server).await;
        self.service.is_to(Change::Add(elastauth.port()));
        let (probe, service) = (chart.readiness.clone(), Arc::clone(&self.service));
        let kubelet = tokio::spawn(probed(server, probe, service)).abort_handle();
        Pod { elastauth, kubelet }
    }

    /// Deletes the oldest. The kubelet sends SIGTERM at once, and whoever has to know that the pod
    /// is no endpoint any more learns it later.
    fn delete(&mut self) {
        let Pod {
            mut elastauth,
            kubelet,
        } = self.pods.remove(0);
        kubelet.abort();
        self.service.is_to(Change::Remove(elastauth.port()));
        elastauth.ask_to_end();
        let readiness = self.chart.readiness.clone();
        self.ending.spawn(async move {
            let server = elastauth.server().clone();
            // It says so while it still answers.
            let mut answered = readiness.status(&server).await;
            while answered == Some(StatusCode::OK) {
                pause(Why::Again, AGAIN).await;
                answered = readiness.status(&server).await;
            }
            assert_eq!(answered, Some(StatusCode::SERVICE_UNAVAILABLE));
            let status = elastauth.ended().await;
            assert!(status.success(), "{status}: {}", elastauth.log());
        });
    }

    /// Waits for the end of pods that were deleted.
    async fn settled(&mut self) {
        while let Some(ended) = self.ending.join_next().await {
            ended.expect("a pod ends as it should");
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        for pod in &self.pods {
            pod.kubelet.abort();
        }
    }
}

/// The kubelet goes on asking a pod that is ready.
async fn probed(pod: Server, probe: Probe, service: Arc<Service>) {
    let port = pod.address().port();
    let (mut failed, mut is_ready) = (0, true);
    loop {
        pause(Why::Pace, probe.period).await;
        failed = if probe.succeeds(&pod).await {
            0
        } else {
            failed + 1
        };
        if is_ready && failed >= probe.failures {
            is_ready = false;
            service.is_to(Change::Remove(port));
        } else if !is_ready && failed == 0 {
            is_ready = true;
            service.is_to(Change::Add(port));
        }
    }
}
