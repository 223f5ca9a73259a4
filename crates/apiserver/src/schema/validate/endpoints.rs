//! Endpoints.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::check::{Errors, int, invalid_each, ip_address, list, number, required_one_of, text};

pub(in crate::schema) fn endpoints(object: &Value) -> Errors {
    let mut errors = Errors::new();
    for (index, subset) in list(object, "subsets").iter().enumerate() {
        let path = Path::new("subsets").index(index);
        if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty() {
            errors.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for member in ["addresses", "notReadyAddresses"] {
            for (position, address) in list(subset, member).iter().enumerate() {
                let (address, path) = (text(address, "ip"), path.child(member).index(position).child("ip"));
                ip_address(&mut errors, &path, address);
                // Kubernetes asks twice: whether it is an address, and whether it is a special one.
                if address.parse::<std::net::IpAddr>().is_err() {
                    errors.push(FieldError::invalid(&path, address, "must be a valid IP address"));
                }
            }
        }
        let ports = list(subset, "ports");
        for (position, port) in ports.iter().enumerate() {
            let path = path.child("ports").index(position);
            match text(port, "name") {
                "" if ports.len() > 1 => errors.push(FieldError::required(&path.child("name"), "")),
                "" => {}
                name => invalid_each(&mut errors, &path.child("name"), name, names::dns1123_label(name)),
            }
            number(&mut errors, &path.child("port"), int(port, "port").unwrap_or(0), names::port_number);
            required_one_of(&mut errors, port, &path, "protocol", &["SCTP", "TCP", "UDP"]);
        }
    }
    errors
}
