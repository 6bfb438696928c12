//! A real OpenTelemetry collector, and what it was sent.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::{
    PATIENCE, Sandbox, Settings, free_addresses, report, repository, wait_for, wait_until,
};

/// In the environment: a machine that cannot have a collector is a failure.
const REQUIRED: &str = "COLLECTOR_REQUIRED";
/// What the script ends with when the machine cannot have one, and the system when it cannot have Python.
const UNAVAILABLE: [Option<i32>; 2] = [Some(3), Some(127)];

/// A collector that writes all it is sent to a file. It is killed when dropped.
pub struct Collector {
    child: Child,
    grpc: SocketAddr,
    http: SocketAddr,
    file: PathBuf,
}

/// A span as the collector has it.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Its id, in hexadecimal digits.
    pub id: String,
    /// The id of its parent; empty when it has none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: u64,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended, in nanoseconds since 1970.
    pub end: u64,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Spans that it is linked to: trace and id.
    pub links: Vec<(String, String)>,
    /// The error, if any.
    pub error: Option<String>,
    /// The node that it is of.
    pub node: String,
}

impl Span {
    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end - self.start)
    }

    /// An attribute; empty when it has none of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Whether it is linked to another one.
    #[must_use]
    pub fn is_linked_to(&self, other: &Self) -> bool {
        let mut links = self.links.iter();
        links.any(|(trace, id)| *trace == other.trace && *id == other.id)
    }

    /// Whether it is a child of another one.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.trace == other.trace && self.parent == other.id
    }
}

impl Collector {
    /// Starts one. `None` on a machine that cannot have one; that the test is skipped is then said on standard error. With
    /// `COLLECTOR_REQUIRED=1` in the environment it panics instead.
    #[must_use]
    pub fn start(sandbox: &Sandbox) -> Option<Self> {
        static COLLECTORS: AtomicU32 = AtomicU32::new(1);
        let executable = executable()?;
        let number = COLLECTORS.fetch_add(1, Ordering::Relaxed);
        let folder = sandbox.folder().join(format!("collector-{number}"));
        fs::create_dir(&folder).expect("the sandbox is writable");
        let [grpc, http] = free_addresses();
        let file = folder.join("traces.jsonl");
        let config = folder.join("config.yaml");
        let text = format!(
            "receivers:\n  otlp:\n    protocols:\n      grpc: {{endpoint: \"{grpc}\"}}\n      http: {{endpoint: \"{http}\"}}\n\
             exporters:\n  file: {{path: \"{}\", flush_interval: 50ms}}\n\
             service:\n  telemetry:\n    metrics: {{level: none}}\n  pipelines:\n    traces: {{receivers: [otlp], exporters: [file]}}\n",
            file.display()
        );
        fs::write(&config, text).expect("the sandbox is writable");
        let log = File::create(folder.join("log")).expect("the sandbox is writable");
        let child = Command::new(executable)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the collector can be started");
        let this = Self {
            child,
            grpc,
            http,
            file,
        };
        wait_until("the collector listens", PATIENCE, || {
            [grpc, http]
                .iter()
                .all(|address| TcpStream::connect(address).is_ok())
        });
        Some(this)
    }

    /// Has a node export to it.
    #[must_use]
    pub fn of(&self, settings: Settings, protocol: &str) -> Settings {
        let address = match protocol {
            "grpc" => self.grpc,
            "http" => self.http,
            other => panic!("there is no protocol {other}"),
        };
        settings
            .set(
                "telemetry.traces.endpoint",
                format_args!("http://{address}"),
            )
            .set("telemetry.traces.protocol", protocol)
            .set("telemetry.traces.export_delay_ms", 50)
    }

    /// All spans that it was sent so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        // The last line may not be whole yet.
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.flat_map(|line: Value| spans_of(&line)).collect()
    }

    /// Everything, once `enough` of it is there: what a node exported last, the collector writes a little later.
    #[must_use]
    pub fn all(&self, what: &str, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        wait_for(what, PATIENCE, || {
            let spans = self.spans();
            enough(&spans).then_some(spans)
        })
    }

    /// Waits for so many spans of a name in a trace.
    #[must_use]
    pub fn wait_for(&self, trace: &str, name: &str, count: usize) -> Vec<Span> {
        wait_for(&format!("{count} spans {name}"), PATIENCE, || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace == trace && span.name == name);
            (spans.len() >= count).then_some(spans)
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The collector's executable, built when it is needed for the first time.
fn executable() -> Option<PathBuf> {
    let output = Command::new(repository().join("integration-tests/collector"))
        .stdin(Stdio::null())
        .output()
        .expect("the script can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    if UNAVAILABLE.contains(&output.status.code()) {
        report::skip(REQUIRED, "there is no OpenTelemetry collector", &said);
        return None;
    }
    assert!(output.status.success(), "{said}");
    let path = String::from_utf8_lossy(&output.stdout);
    Some(PathBuf::from(path.trim()))
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

fn spans_of(line: &Value) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in list(line, "resourceSpans") {
        let node = attributes(&resource["resource"]);
        let node = node.get("service.instance.id").cloned();
        for scope in list(resource, "scopeSpans") {
            let of_scope = list(scope, "spans").map(|span| read(span, node.as_deref()));
            spans.extend(of_scope);
        }
    }
    spans
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let pairs = list(of, "attributes").map(|pair| {
        let key = text(&pair["key"]);
        let value = pair["value"].as_object().and_then(|v| v.values().next());
        let value = value.map_or_else(String::new, |value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        (key, value)
    });
    pairs.collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn read(span: &Value, node: Option<&str>) -> Span {
    let time = |key: &str| text(&span[key]).parse().expect("a span has its times");
    let status = &span["status"];
    Span {
        trace: text(&span["traceId"]),
        id: text(&span["spanId"]),
        parent: text(&span["parentSpanId"]),
        name: text(&span["name"]),
        kind: span["kind"].as_u64().unwrap_or_default(),
        start: time("startTimeUnixNano"),
        end: time("endTimeUnixNano"),
        attributes: attributes(span),
        links: list(span, "links")
            .map(|link| (text(&link["traceId"]), text(&link["spanId"])))
            .collect(),
        error: (status["code"] == 2).then(|| text(&status["message"])),
        node: node.unwrap_or_default().to_owned(),
    }
}
