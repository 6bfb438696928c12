//! Real Apache Kafka brokers.

mod acls;
mod proxy;
mod script;
mod security;

use std::{
    collections::HashMap,
    env,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use babelmesh::{
    config::KafkaConfig,
    kafka::{admin, client::Clients, topic_settings::plan, topics::TopicNames},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::Value;

pub use acls::{Operation, Resource};
pub use security::{Security, User};

use crate::{Backend, PATIENCE, Sandbox, Settings, processes, wait_until};
use acls::{Permission, Rule};
use proxy::Proxy;
use script::Script;

/// In the environment: brokers that run already, for tests that only need some.
const BOOTSTRAP: &str = "KAFKA_BOOTSTRAP";
/// Partitions of the topics that are made before any node is there.
const PARTITIONS: i32 = 4;
/// How long a question to the brokers may take.
const ANSWER: Duration = Duration::from_secs(20);

/// Shape of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// Number of brokers, each of them a controller too. With three, everything has three copies.
    pub brokers: u32,
    /// Whether there are listeners with TLS and SASL beside the plain ones.
    pub secure: bool,
    /// Whether there is a network between nodes and brokers that can be cut.
    pub proxied: bool,
    /// How long a broker may say nothing to its controller before that gives it up. One that is killed does not come back sooner.
    pub gives_up_after: Duration,
}

impl Cluster {
    /// Brokers that are to be killed: they are given up soon. Others are not, since where two cores are busy they say nothing for as long.
    #[must_use]
    pub fn mortal(brokers: u32) -> Self {
        Self {
            brokers,
            gives_up_after: Duration::from_secs(5),
            ..Self::default()
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            brokers: 1,
            secure: false,
            proxied: false,
            gives_up_after: Duration::from_secs(30),
        }
    }
}

/// Brokers, and names of topics on them that no other test has. The brokers are killed and their data deleted when this is dropped,
/// unless they were there before.
pub struct Kafka {
    /// Absent for brokers that were there before.
    script: Option<Script>,
    proxies: Vec<Proxy>,
    bootstrap: String,
    /// Empty when there are no proxies.
    proxied_bootstrap: String,
    replication: i32,
    security: Option<Security>,
    topics: TopicNames,
    group: String,
}

impl Kafka {
    /// A cluster of its own. `None` on a machine that cannot have one; that the test is skipped is then said on standard error. With
    /// `KAFKA_REQUIRED=1` in the environment it panics instead.
    #[must_use]
    pub fn start(sandbox: &Sandbox, cluster: Cluster) -> Option<Self> {
        static CLUSTERS: AtomicU32 = AtomicU32::new(1);
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let script = Script::of(sandbox.folder().join(format!("kafka-{number}")));
        let proxies = if cluster.proxied { cluster.brokers } else { 0 };
        let proxies: Vec<_> = (0..proxies).map(|_| Proxy::open()).collect();
        let through: Vec<_> = proxies.iter().map(|p| p.address().to_string()).collect();
        let mut options = vec!["--brokers".to_owned(), cluster.brokers.to_string()];
        let session = cluster.gives_up_after.as_millis().to_string();
        options.extend(["--session-ms".to_owned(), session]);
        if cluster.secure {
            options.push("--secure".to_owned());
        }
        if cluster.proxied {
            options.push("--behind".to_owned());
            options.extend_from_slice(&through);
        }
        if !script.create(&options) {
            return None;
        }
        let status = script.status();
        for (proxy, broker) in proxies.iter().zip(brokers(&status)) {
            let listens = text(&broker["listeners"]["proxied"]);
            let target: SocketAddr = listens.parse().expect("listeners have addresses");
            proxy.forward_to(target);
        }
        let replication = i32::try_from(cluster.brokers).expect("a cluster is small");
        let security = Security::read(&status);
        let bootstrap = text(&status["bootstrap"]).to_owned();
        let this = Self::at(bootstrap, replication.min(3));
        Some(Self {
            script: Some(script),
            proxies,
            proxied_bootstrap: through.join(","),
            security,
            ..this
        })
    }

    /// The brokers at `KAFKA_BOOTSTRAP`, if that is set, else a single one of its own.
    #[must_use]
    pub fn any(sandbox: &Sandbox) -> Option<Self> {
        match env::var(BOOTSTRAP) {
            Ok(bootstrap) if !bootstrap.is_empty() => {
                let metadata = consumer(&bootstrap)
                    .fetch_metadata(None, ANSWER)
                    .unwrap_or_else(|error| {
                        panic!("no broker answers at {bootstrap}, which {BOOTSTRAP} names: {error}")
                    });
                let brokers = i32::try_from(metadata.brokers().len()).expect("a cluster is small");
                Some(Self::at(bootstrap, brokers.min(3)))
            }
            _ => Self::start(sandbox, Cluster::default()),
        }
    }

    /// The same brokers, with names of topics that nobody else has.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::at(self.bootstrap.clone(), self.replication)
    }

    fn at(bootstrap: String, replication: i32) -> Self {
        let group = unique_name();
        let TopicNames {
            requests,
            jobs,
            results,
            dead_letters,
            glossaries,
        } = TopicNames::default();
        Self {
            script: None,
            proxies: Vec::new(),
            bootstrap,
            proxied_bootstrap: String::new(),
            replication,
            security: None,
            topics: TopicNames {
                requests: format!("{group}.{requests}"),
                jobs: format!("{group}.{jobs}"),
                results: format!("{group}.{results}"),
                dead_letters: format!("{group}.{dead_letters}"),
                glossaries: format!("{group}.{glossaries}"),
            },
            group,
        }
    }

    /// Addresses of the brokers without any security, separated by commas.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Addresses of the brokers through the network that can be cut.
    #[must_use]
    pub fn proxied_bootstrap(&self) -> &str {
        assert!(!self.proxies.is_empty(), "the cluster is not proxied");
        &self.proxied_bootstrap
    }

    /// Cuts the network between nodes and brokers: nothing passes, in either direction, and nobody is told.
    pub fn cut(&self) {
        assert!(!self.proxies.is_empty(), "the cluster is not proxied");
        self.proxies.iter().for_each(Proxy::cut);
    }

    /// Heals the network. What was on its way arrives.
    pub fn heal(&self) {
        self.proxies.iter().for_each(Proxy::heal);
    }

    /// Bytes that have passed the network that can be cut.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.proxies.iter().map(Proxy::forwarded).sum()
    }

    /// Requests of one kind, by its API key, that were sent through the network that can be cut.
    #[must_use]
    pub fn requests(&self, api_key: i16) -> u64 {
        let proxies = self.proxies.iter();
        proxies.map(|proxy| proxy.requests(api_key)).sum()
    }

    /// The process of a broker, counted from 1; `None` while it is stopped.
    #[must_use]
    pub fn pid(&self, broker: u32) -> Option<u32> {
        let status = self.script().status();
        let mut brokers = brokers(&status).iter();
        let about = brokers.find(|about| about["id"] == broker);
        let about = about.unwrap_or_else(|| panic!("there is no broker {broker}"));
        about["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok())
    }

    /// Kills a broker, counted from 1.
    pub fn kill(&self, broker: u32) {
        self.end(broker, &["--kill"]);
    }

    /// Stops a broker as an operator would: it hands over what it leads. Waits until it has ended.
    pub fn stop(&self, broker: u32) {
        self.end(broker, &[]);
    }

    fn end(&self, broker: u32, options: &[&str]) {
        let pid = self.pid(broker);
        let pid = pid.unwrap_or_else(|| panic!("broker {broker} does not run"));
        let number = broker.to_string();
        let options = [&["--broker", &number], options].concat();
        self.script().run("stop", &options);
        assert!(!processes::is_alive(pid), "broker {broker} is gone");
    }

    /// Starts a broker again, at the same addresses and with the data that it had. Waits until it answers. Where most brokers are
    /// down none of them can come back alone: see [`start_all`](Self::start_all).
    pub fn start_broker(&self, broker: u32) {
        self.script()
            .run("start", &["--broker", &broker.to_string()]);
    }

    /// Starts all brokers that are down.
    pub fn start_all(&self) {
        self.script().run("start", &[]);
    }

    /// What the broker has logged.
    #[must_use]
    pub fn log(&self, broker: u32) -> String {
        let path = self.script().folder().join(format!("broker-{broker}"));
        std::fs::read_to_string(path.join("broker.log")).unwrap_or_default()
    }

    /// Addresses, certificates and users.
    #[must_use]
    pub fn security(&self) -> &Security {
        self.security.as_ref().expect("the cluster is secure")
    }

    /// Has the brokers of a secure cluster check what a user may do, and allows everything at first. Users of listeners without SASL may always do
    /// everything.
    pub fn check_permissions_of(&self, user: &User) {
        let everything = [
            Resource::Topic("*"),
            Resource::Group("*"),
            Resource::TransactionalId("*"),
            Resource::Cluster,
        ];
        for resource in everything {
            let rule = Self::rule(user, resource, Operation::All, Permission::Allow);
            rule.create(self.first_broker());
        }
    }

    /// Forbids a user something, until it is [allowed](Self::allow) again.
    pub fn forbid(&self, user: &User, resource: Resource<'_>, operation: Operation) {
        Self::rule(user, resource, operation, Permission::Deny).create(self.first_broker());
    }

    /// Allows a user again what was forbidden.
    pub fn allow(&self, user: &User, resource: Resource<'_>, operation: Operation) {
        Self::rule(user, resource, operation, Permission::Deny).delete(self.first_broker());
    }

    fn rule<'a>(
        user: &'a User,
        resource: Resource<'a>,
        operation: Operation,
        permission: Permission,
    ) -> Rule<'a> {
        Rule {
            user: &user.name,
            resource,
            operation,
            permission,
        }
    }

    fn first_broker(&self) -> &str {
        let mut brokers = self.bootstrap.split(',');
        brokers.next().expect("there is a broker")
    }

    /// Names of this test's topics.
    #[must_use]
    pub fn topics(&self) -> TopicNames {
        self.topics.clone()
    }

    /// The group of this test's nodes.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// A node of this cluster. It reaches the brokers through the network that can be cut, where there is one.
    #[must_use]
    pub fn node(&self, settings: Settings) -> Settings {
        let bootstrap = if self.proxies.is_empty() {
            &self.bootstrap
        } else {
            &self.proxied_bootstrap
        };
        settings
            .set("kafka.bootstrap_servers", format_args!("{bootstrap:?}"))
            .set("kafka.topics.requests", &self.topics.requests)
            .set("kafka.topics.jobs", &self.topics.jobs)
            .set("kafka.topics.results", &self.topics.results)
            .set("kafka.topics.dead_letters", &self.topics.dead_letters)
            .set("kafka.topics.glossaries", &self.topics.glossaries)
            .set("kafka.group_id", &self.group)
            .set("kafka.replication", self.replication)
    }

    /// Clients that reach the brokers whatever happens to the network.
    #[must_use]
    pub fn clients(&self) -> Clients {
        Clients::new(&KafkaConfig::default(), &self.bootstrap, "backend", false)
    }

    /// A client for administration.
    #[must_use]
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        let admin = self.clients().admin().create();
        admin.expect("the client's configuration is good")
    }

    /// Deletes a topic, which must be there.
    pub fn delete_topic(&self, topic: &str) {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = block_on(self.admin().delete_topics(&[topic], &options));
        let deleted = deleted.expect("the brokers answer");
        assert_eq!(deleted, [Ok(topic.to_owned())]);
    }

    /// Sets values of a topic's configuration. Those that are not named are the brokers' own again.
    pub fn configure_topic(&self, topic: &str, values: &[(&str, &str)]) {
        let config = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let config = values
            .iter()
            .fold(config, |config, (name, value)| config.set(name, value));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let altered = block_on(self.admin().alter_configs(&[config], &options));
        let altered = altered.expect("the brokers answer");
        assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    }

    /// Makes this test's topics, for French and German, those that are missing; a test that wants another number of partitions than
    /// four calls it first.
    pub fn create_topics(&self, partitions: i32) {
        let languages = ["fr", "de"].map(|tag| tag.parse().expect("it is a language"));
        let settings = KafkaConfig {
            topics: self.topics(),
            partitions,
            replication: self.replication,
            ..KafkaConfig::default()
        };
        let planned = plan(&settings, &languages);
        let clients = self.clients();
        let made = admin::create_missing(&clients, &planned, ANSWER);
        if let Err(error) = block_on(made) {
            panic!("{error:#}");
        }
        let consumer = consumer(&self.bootstrap);
        wait_until("every partition has a leader", PATIENCE, || {
            let metadata = consumer.fetch_metadata(None, ANSWER);
            let metadata = metadata.expect("the brokers answer");
            let leaders: HashMap<_, _> = metadata
                .topics()
                .iter()
                .map(|topic| {
                    (
                        topic.name(),
                        topic.partitions().iter().all(|p| p.leader() >= 0),
                    )
                })
                .collect();
            planned
                .iter()
                .all(|topic| leaders.get(topic.name.as_str()) == Some(&true))
        });
    }

    /// A backend of this cluster. The topics are made first, where they are missing.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.create_topics(PARTITIONS);
        Backend::of(&self.clients(), self.topics())
    }

    fn script(&self) -> &Script {
        self.script
            .as_ref()
            .expect("these brokers belong to this test")
    }
}

/// Runs a future on a runtime of its own.
///
/// # Panics
/// When no runtime can be made.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime can be made").block_on(future)
}

fn consumer(bootstrap: &str) -> BaseConsumer {
    Clients::new(&KafkaConfig::default(), bootstrap, "harness", false)
        .admin()
        .create()
        .expect("the client's configuration is good")
}

fn brokers(status: &Value) -> &[Value] {
    status["brokers"].as_array().expect("the script lists them")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("the script says it")
}

/// Differs from every other name on brokers that many tests use, at the same time or one after another.
fn unique_name() -> String {
    static NAMES: AtomicU32 = AtomicU32::new(1);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.expect("it is after 1970").as_millis();
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    format!("it-{millis}-{}-{number}", std::process::id())
}
