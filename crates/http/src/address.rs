//! The address of a client, through the proxies that the operator trusts.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::HttpRequest;
use ipnet::IpNet;

/// The address that a request came from: the last hop that is not a trusted proxy.
pub(super) fn client(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let lines = request.headers().get_all("x-forwarded-for");
    let hops: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    Some(last_untrusted(peer, &hops.join(","), trusted))
}

/// Follows `X-Forwarded-For` from its end as long as the hop before was a trusted proxy. A value that is not an address ends it: what stands
/// before it was not written by a proxy that is trusted.
fn last_untrusted(peer: IpAddr, forwarded: &str, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    let mut hops = forwarded.rsplit(',').map(str::trim);
    while is_trusted(client)
        && let Some(hop) = hops.next().and_then(hop)
    {
        client = hop;
    }
    client
}

/// An address, perhaps with a port.
fn hop(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok();
    let address = address.or_else(|| {
        text.parse()
            .ok()
            .map(|with_port: SocketAddr| with_port.ip())
    });
    address.map(|address: IpAddr| address.to_canonical())
}

/// Clients with the same text share a rate limit. An IPv6 client has a whole /64 network to choose addresses from.
pub(super) fn bucket(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            format!("{}/64", Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(peer: &str, forwarded: &str, trusted: &[&str]) -> String {
        let trusted: Vec<_> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        last_untrusted(peer.parse().unwrap(), forwarded, &trusted).to_string()
    }

    #[test]
    fn the_header_is_believed_from_trusted_proxies_only() {
        assert_eq!(found("10.0.0.1", "1.2.3.4", &[]), "10.0.0.1");
        assert_eq!(found("9.9.9.9", "1.2.3.4", &["10.0.0.0/8"]), "9.9.9.9");
        assert_eq!(found("10.0.0.1", "1.2.3.4", &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(
            found("::ffff:10.0.0.1", " 1.2.3.4 ", &["10.0.0.0/8"]),
            "1.2.3.4"
        );
    }

    #[test]
    fn the_last_untrusted_hop_counts_and_not_what_the_client_wrote() {
        let proxies = ["10.0.0.0/8", "::1/128"];
        let chain = "6.6.6.6, 1.2.3.4:5678 ,10.0.0.2";
        assert_eq!(found("10.0.0.1", chain, &proxies), "1.2.3.4");
        assert_eq!(found("::1", "[2001:db8::1]:80", &proxies), "2001:db8::1");
        assert_eq!(found("10.0.0.1", "1.2.3.4, garbage", &proxies), "10.0.0.1");
        assert_eq!(found("10.0.0.1", "", &proxies), "10.0.0.1");
        assert_eq!(found("10.0.0.1", "10.0.0.3", &proxies), "10.0.0.3");
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let bucket = |address: &str| bucket(address.parse().unwrap());
        assert_eq!(bucket("2001:db8::1"), bucket("2001:db8::ffff:1"));
        assert_ne!(bucket("2001:db8::1"), bucket("2001:db8:0:1::1"));
        assert_eq!(bucket("::ffff:1.2.3.4"), "1.2.3.4");
    }

    proptest! {
        #[test]
        fn no_header_leads_past_an_untrusted_peer(forwarded in ".{0,80}") {
            prop_assert_eq!(found("9.9.9.9", &forwarded, &["10.0.0.0/8"]), "9.9.9.9");
            let _ = found("10.0.0.1", &forwarded, &["0.0.0.0/0", "::/0"]);
        }
    }
}
