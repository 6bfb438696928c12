//! The Kubernetes manifests.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Environment, documents, good, image, list, load, text, yaml};

fn of_kind(kind: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for file in list(&yaml("kubernetes/kustomization.yaml")["resources"]) {
        found.extend(documents(&format!("kubernetes/{}", text(file))));
    }
    found.retain(|document| document["kind"] == kind);
    assert!(!found.is_empty(), "there is no {kind}");
    found
}

fn stateful_set() -> Value {
    of_kind("StatefulSet").remove(0)
}

/// What the pod of this name has in its environment.
fn environment(pod: &str) -> Environment {
    let set = stateful_set();
    let variables = list(&set["spec"]["template"]["spec"]["containers"][0]["env"]).iter();
    variables
        .filter_map(|variable| {
            let value = variable["value"].as_str()?.replace("$(POD_NAME)", pod);
            Some((text(&variable["name"]).to_owned(), value))
        })
        .collect()
}

#[test]
fn pods_are_configured_as_nodes_can_be() {
    let set = stateful_set();
    let pod = &set["spec"]["template"]["spec"];
    let config = good(&environment("babelmesh-0"));
    assert_eq!(config.node.name, "babelmesh-0");
    assert!(config.cluster.enabled);
    let service = text(&set["spec"]["serviceName"]);
    assert_eq!(
        config.cluster.advertise.unwrap(),
        format!("babelmesh-0.{service}:7700")
    );
    assert_eq!(config.cluster.seeds, [format!("{service}:7700")]);
    let services = of_kind("Service");
    let headless = services
        .iter()
        .find(|s| s["metadata"]["name"] == service)
        .unwrap();
    assert_eq!(
        (
            &headless["spec"]["clusterIP"],
            &headless["spec"]["publishNotReadyAddresses"]
        ),
        (&json!("None"), &json!(true))
    );
    for service in &services {
        assert_eq!(
            service["spec"]["selector"],
            set["spec"]["template"]["metadata"]["labels"]
        );
    }
    let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap());
    assert!(grace > config.node.shutdown_timeout());
    let container = &pod["containers"][0];
    let limits = &container["resources"]["limits"];
    assert_eq!(
        (text(&limits["cpu"]), text(&limits["memory"])),
        ("4", "8Gi")
    );
    assert_eq!(pod["securityContext"]["runAsUser"], image::user());
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["ports"][0]["containerPort"], image::port());
    for (probe, path) in [
        ("startupProbe", "/live"),
        ("livenessProbe", "/live"),
        ("readinessProbe", "/ready"),
    ] {
        let get = &container[probe]["httpGet"];
        assert_eq!(
            (text(&get["path"]), &get["port"]),
            (path, &container["ports"][0]["name"])
        );
    }
    let mounts: Vec<&str> = list(&container["volumeMounts"])
        .iter()
        .map(|m| text(&m["mountPath"]))
        .collect();
    let cache = config.models.cache_directory.unwrap();
    assert!(mounts.contains(&cache.to_str().unwrap()) && mounts.contains(&"/tmp"));
    let key = config.cluster.tls.key_file.unwrap();
    assert!(mounts.iter().any(|mount| key.starts_with(mount)));
    for mount in list(&container["volumeMounts"]) {
        assert!(
            list(&pod["volumes"])
                .iter()
                .any(|v| v["name"] == mount["name"]),
            "{mount}"
        );
    }
}

#[test]
fn the_variables_that_kubernetes_makes_of_services_do_not_reach_the_nodes() {
    let mut with_links = environment("babelmesh-0");
    with_links.insert("BABELMESH_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned());
    load(&with_links).unwrap_err();
    assert_eq!(
        stateful_set()["spec"]["template"]["spec"]["enableServiceLinks"],
        false
    );
}

#[test]
fn the_scaler_watches_the_groups_of_the_nodes_and_scales_them() {
    let scaler = of_kind("ScaledObject").remove(0);
    let set = stateful_set();
    let target = &scaler["spec"]["scaleTargetRef"];
    assert_eq!(
        (&target["kind"], &target["name"]),
        (&set["kind"], &set["metadata"]["name"])
    );
    assert!(
        set["spec"]["replicas"].is_null(),
        "the scaler's number would be undone"
    );
    let config = good(&environment("babelmesh-0"));
    let triggers = list(&scaler["spec"]["triggers"]);
    let groups: Vec<&str> = triggers
        .iter()
        .map(|t| text(&t["metadata"]["consumerGroup"]))
        .collect();
    let group = &config.kafka.group_id;
    assert_eq!(groups, [group.clone(), format!("{group}-splitter")]);
    for trigger in triggers {
        assert_eq!(trigger["type"], "kafka");
        assert_eq!(
            text(&trigger["metadata"]["bootstrapServers"]),
            config.kafka.bootstrap_servers
        );
        assert!(
            text(&trigger["metadata"]["lagThreshold"])
                .parse::<u32>()
                .unwrap()
                > 0
        );
    }
    let most = scaler["spec"]["maxReplicaCount"].as_i64().unwrap();
    assert!(
        most <= i64::from(config.kafka.partitions),
        "some nodes would have no partition"
    );
    assert_eq!(most, i64::from(config.kafka.parallelism));
}
