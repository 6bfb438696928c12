//! A network of namespaces whose cables can be pulled out.

use std::{net::Ipv4Addr, process::Command};

use crate::report;

/// Namespaces on one bridge. It is taken away when dropped.
pub struct Network {
    tag: String,
    hosts: u8,
}

impl Network {
    /// A network of so many hosts; `None`, loudly, where it cannot be had, unless `CLUSTER_NETNS_REQUIRED=1`.
    #[must_use]
    pub fn start(hosts: u8) -> Option<Self> {
        let tag = format!("bm{}", std::process::id() % 100_000);
        let this = Self { tag, hosts };
        match this.build() {
            Ok(()) => Some(this),
            Err(error) => {
                report::skip(
                    "CLUSTER_NETNS_REQUIRED",
                    "there are no network namespaces",
                    &error.to_string(),
                );
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let bridge = self.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["link", "set", &bridge, "up"])?;
        for host in 1..=self.hosts {
            let (space, outer, inner) = (
                self.namespace(host),
                self.cable(host),
                format!("{}i", self.cable(host)),
            );
            ip(&["netns", "add", &space])?;
            ip(&[
                "link", "add", &outer, "type", "veth", "peer", "name", &inner,
            ])?;
            ip(&["link", "set", &inner, "netns", &space])?;
            ip(&["link", "set", &outer, "master", &bridge, "up"])?;
            let address = format!("{}/24", self.address(host));
            ip(&["-n", &space, "addr", "add", &address, "dev", &inner])?;
            ip(&["-n", &space, "link", "set", &inner, "up"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    /// The namespace of a host; hosts count from one.
    #[must_use]
    pub fn namespace(&self, host: u8) -> String {
        format!("{}n{host}", self.tag)
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, 7, host)
    }

    /// Pulls its cable out: what is sent gets lost, and nobody is told.
    pub fn cut(&self, host: u8) {
        ip(&["link", "set", &self.cable(host), "nomaster"]).expect("the cable is there");
    }

    /// Puts it in again.
    pub fn heal(&self, host: u8) {
        ip(&["link", "set", &self.cable(host), "master", &self.bridge()])
            .expect("the cable is there");
    }

    fn bridge(&self) -> String {
        format!("{}br", self.tag)
    }

    fn cable(&self, host: u8) -> String {
        format!("{}v{host}", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was never made cannot be taken away.
        for host in 1..=self.hosts {
            let _ = ip(&["link", "del", &self.cable(host)]);
            let _ = ip(&["netns", "del", &self.namespace(host)]);
        }
        let _ = ip(&["link", "del", &self.bridge()]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "ip {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}
