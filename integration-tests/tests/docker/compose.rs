//! The compose file, and what Prometheus and Grafana beside it are told.

use std::{collections::BTreeMap, time::Duration};

use babelmesh::config::OtlpProtocol;
use babelmesh_integration_tests::repository;
use serde_json::Value;

use super::{Environment, docker, good, image, list, table, text, yaml};

/// Fills in the defaults of `${NAME:-default}`.
fn filled(value: &str) -> String {
    match value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some(inner) => inner.split_once(":-").unwrap().1.to_owned(),
        None => value.to_owned(),
    }
}

/// The services that are nodes, with their variables.
fn nodes(compose: &Value) -> BTreeMap<String, Environment> {
    let services = table(&compose["services"]).iter();
    services
        .filter_map(|(name, service)| {
            let set = service["environment"].as_object()?;
            set.get("BABELMESH_NODE__NAME")?;
            let set = set.iter();
            let set = set.map(|(key, value)| (key.clone(), filled(text(value))));
            Some((name.clone(), set.collect()))
        })
        .collect()
}

#[test]
fn three_nodes_are_configured_as_nodes_can_be() {
    let compose = yaml("compose.yaml");
    let nodes = nodes(&compose);
    assert_eq!(nodes.len(), 3);
    let certificates = compose["services"]["certificates"]["command"].to_string();
    for (name, environment) in &nodes {
        let service = &compose["services"][name];
        let config = good(environment);
        assert_eq!(&config.node.name, name);
        assert!(config.cluster.enabled);
        let advertised = config.cluster.advertise.unwrap();
        assert!(advertised.starts_with(&format!("{name}:")), "{advertised}");
        assert!(config.cluster.seeds.contains(&advertised));
        assert!(
            certificates.contains(&format!("--node {name} "))
                || certificates.contains(&format!("--node {name}\\n"))
        );
        let file = config.cluster.tls.certificate_file.unwrap();
        assert!(file.ends_with(format!("{name}.pem")), "{}", file.display());
        let advertised =
            text(&compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]);
        assert!(
            advertised.contains(&format!("//{},", config.kafka.bootstrap_servers)),
            "{advertised}"
        );
        assert_eq!(config.kafka.parallelism as usize, nodes.len());
        let limits = &service["deploy"]["resources"]["limits"];
        assert_eq!(
            (
                filled(text(&limits["cpus"])),
                filled(text(&limits["memory"]))
            ),
            ("4".to_owned(), "8G".to_owned())
        );
        let grace = text(&service["stop_grace_period"])
            .strip_suffix('s')
            .unwrap();
        let grace = Duration::from_secs(grace.parse().unwrap());
        assert!(grace > config.node.shutdown_timeout());
        assert_eq!(service["read_only"], true);
        let cache = config.models.cache_directory.unwrap();
        let mounted = list(&service["volumes"]).iter().map(text);
        assert!(
            mounted
                .into_iter()
                .any(|v| v.ends_with(&format!(":{}", cache.display())))
        );
    }
}

#[test]
fn nothing_is_open_to_the_network_and_everything_that_is_mounted_is_there() {
    let compose = yaml("compose.yaml");
    let declared = table(&compose["volumes"]);
    for (name, service) in table(&compose["services"]) {
        let own = service["image"] == "babelmesh";
        assert!(
            own || text(&service["image"]).contains(':'),
            "{name} has no version"
        );
        assert_eq!(own, service["build"].is_object(), "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(text(port).starts_with("127.0.0.1:"), "{name}: {port}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = text(volume).split(':').next().unwrap();
            match source.strip_prefix("./") {
                Some(path) => assert!(docker(path).is_dir(), "{name}: {volume}"),
                None => assert!(declared.contains_key(source), "{name}: {volume}"),
            }
        }
        let needed = match &service["depends_on"] {
            Value::Object(needed) => needed.keys().map(String::as_str).collect(),
            Value::Array(needed) => needed.iter().map(text).collect(),
            _ => Vec::new(),
        };
        for other in needed {
            assert!(
                compose["services"][other].is_object(),
                "{name} needs {other}"
            );
        }
    }
    let build = &compose["services"]["node-1"]["build"];
    assert_eq!(text(&build["context"]), "..");
    assert!(docker("..").join(text(&build["dockerfile"])).is_file());
}

#[test]
fn traces_go_from_every_node_through_the_collector_to_jaeger() {
    let compose = yaml("compose.yaml");
    let collector = yaml("otel-collector/config.yaml");
    let service = &compose["services"]["otel-collector"];
    let mounted = text(&list(&service["volumes"])[0]);
    // Where the image looks for its configuration.
    assert_eq!(mounted, "./otel-collector:/etc/otelcol:ro");
    let listens = text(&collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]);
    let (_, port) = listens.rsplit_once(':').unwrap();
    for (name, environment) in nodes(&compose) {
        let traces = good(&environment).telemetry.traces;
        assert_eq!(traces.protocol, OtlpProtocol::Grpc);
        let endpoint = traces.endpoint.unwrap();
        assert_eq!(endpoint, format!("http://otel-collector:{port}"), "{name}");
    }
    let pipeline = &collector["service"]["pipelines"]["traces"];
    for kind in ["receivers", "processors", "exporters"] {
        let used: Vec<_> = list(&pipeline[kind]).iter().map(text).collect();
        let mut declared: Vec<_> = table(&collector[kind]).keys().collect();
        declared.sort_by_key(|name| used.iter().position(|used| used == name));
        assert_eq!(used, declared, "{kind}");
    }
    let (to, port) = text(&collector["exporters"]["otlp"]["endpoint"])
        .split_once(':')
        .unwrap();
    // Jaeger takes OTLP at that port unless it is told otherwise.
    assert_eq!(port, "4317");
    assert!(compose["services"][to].is_object(), "{to}");
    for name in ["otel-collector", to] {
        let limits = &compose["services"][name]["deploy"]["resources"]["limits"];
        assert!(
            limits["cpus"].is_string() && limits["memory"].is_string(),
            "{name}"
        );
    }
    let pinned = text(&service["image"]).rsplit_once(':').unwrap().1;
    let tested = repository().join("integration-tests/otel-collector/go.mod");
    let tested = std::fs::read_to_string(tested).unwrap();
    let module = format!("go.opentelemetry.io/collector/otelcol v{pinned}");
    assert!(tested.contains(&module), "the tests run on another version");
}

#[test]
fn prometheus_asks_every_node_and_grafana_asks_prometheus() {
    let compose = yaml("compose.yaml");
    let prometheus = yaml("prometheus/prometheus.yml");
    let job = &prometheus["scrape_configs"][0];
    // The alerts and the dashboard select by this name.
    assert_eq!(job["job_name"], "babelmesh");
    let mut asked: Vec<&str> = list(&job["static_configs"][0]["targets"])
        .iter()
        .map(text)
        .collect();
    asked.sort_unstable();
    let port = image::port();
    let nodes: Vec<String> = nodes(&compose)
        .keys()
        .map(|name| format!("{name}:{port}"))
        .collect();
    assert_eq!(asked, nodes);
    for (name, service) in table(&compose["services"]) {
        if nodes.contains(&format!("{name}:{port}")) {
            assert!(
                text(&service["ports"][0]).ends_with(&format!(":{port}")),
                "{name}"
            );
        }
    }
    for file in list(&prometheus["rule_files"]) {
        assert!(docker("prometheus").join(text(file)).is_file(), "{file}");
    }
    let source = yaml("grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let provider = yaml("grafana/provisioning/dashboards/babelmesh.yml");
    let folder = text(&provider["providers"][0]["options"]["path"]);
    let mounted = list(&compose["services"]["grafana"]["volumes"])
        .iter()
        .map(text);
    assert!(
        mounted
            .into_iter()
            .any(|v| v.starts_with(&format!("./grafana/dashboards:{folder}")))
    );
}
