//! The Kubernetes manifests.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use babelmesh::cluster::certs;
use babelmesh_integration_tests::{PATIENCE, wait_until};
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

/// The container that copies a pod's own key.
fn copier() -> Value {
    let set = stateful_set();
    set["spec"]["template"]["spec"]["initContainers"][0].clone()
}

#[test]
fn the_node_of_a_pod_mounts_nothing_that_holds_the_keys_of_others() {
    let set = stateful_set();
    let pod = &set["spec"]["template"]["spec"];
    let volumes = list(&pod["volumes"]).iter();
    let secrets: Vec<&str> = volumes
        .filter(|volume| !volume["secret"].is_null() || !volume["projected"].is_null())
        .map(|volume| text(&volume["name"]))
        .collect();
    assert_eq!(secrets.len(), 1);
    let mounts = |container: &Value| -> Vec<String> {
        let mounts = list(&container["volumeMounts"]).iter();
        mounts
            .map(|mount| text(&mount["name"]).to_owned())
            .collect()
    };
    let containers = list(&pod["containers"]);
    assert!(
        containers
            .iter()
            .all(|c| !mounts(c).contains(&secrets[0].to_owned()))
    );
    let copier = copier();
    assert!(mounts(&copier).contains(&secrets[0].to_owned()));
    // It runs as long as the node does.
    assert_eq!(copier["restartPolicy"], "Always");
    let keys = list(&copier["env"])
        .iter()
        .find(|v| v["name"] == "KEYS")
        .unwrap();
    let environment = environment("babelmesh-0");
    // The default folder of the status socket, made by the node itself under /tmp: `kubectl exec` finds it.
    assert!(!environment.contains_key("XDG_RUNTIME_DIR"));
    let config = good(&environment);
    assert_eq!(config.status.socket, None);
    let folder = Path::new(text(&keys["value"]));
    let cookie = &environment["BABELMESH_CLUSTER__COOKIE_FILE"];
    assert_eq!(Path::new(cookie), folder.join(certs::COOKIE));
    for (file, name) in [
        (config.cluster.tls.ca_file, certs::CA),
        (config.cluster.tls.certificate_file, "babelmesh-0.pem"),
        (config.cluster.tls.key_file, "babelmesh-0.key"),
    ] {
        assert_eq!(file.unwrap(), folder.join(name));
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pod_gets_its_own_key_and_renewed_ones_and_says_what_is_missing() {
    let base = tempfile::tempdir().unwrap();
    let (secret, keys) = (base.path().join("secret"), base.path().join("keys"));
    fs::create_dir(&keys).unwrap();
    let nodes = ["babelmesh-0", "babelmesh-1"].map(str::to_owned);
    certs::make(&secret, &nodes, 1).unwrap();
    let script = text(&copier()["args"][0]).replace("sleep 10", "sleep 0.1");
    assert!(script.contains("sleep 0.1"));
    let start = |pod: &str| {
        let mut command = Command::new("bash");
        command
            .args(["-uc", &script])
            .env("POD_NAME", pod)
            .env("SECRET", &secret)
            .env("KEYS", &keys)
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let missing = start("babelmesh-2").wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        !missing.status.success() && said.contains("lacks a file for babelmesh-2"),
        "{said}"
    );
    fs::remove_dir_all(&keys).unwrap();
    fs::create_dir(&keys).unwrap();
    let mut running = Running(start("babelmesh-1"));
    let key = keys.join("babelmesh-1.key");
    wait_until("the key is there", PATIENCE, || key.exists());
    let mut found: Vec<String> = fs::read_dir(&keys)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "babelmesh-1.key",
            "babelmesh-1.pem",
            certs::CA,
            certs::COOKIE
        ]
    );
    for file in found {
        let mode = fs::metadata(keys.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    fs::write(secret.join("babelmesh-1.key"), "renewed").unwrap();
    wait_until("a renewed key arrives", PATIENCE, || {
        fs::read_to_string(&key).is_ok_and(|text| text == "renewed")
    });
    // It ends at once when it is told to.
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let begun = std::time::Instant::now();
    assert!(running.0.wait().unwrap().success() && begun.elapsed() < Duration::from_secs(5));
}
