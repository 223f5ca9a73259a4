//! Host network, DNS, host aliases.

use everynode_api::field::{FieldError, Path};
use everynode_api::names;
use serde_json::Value;

use super::super::check::{Errors, flag, int, invalid_each, ip_address, list, present, text};
use super::Context;

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2048;

/// With the host's network a host port is the container's port; a template may leave it open
/// (DS-A09).
pub(super) fn host_network(errors: &mut Errors, context: &Context<'_>, path: &Path) {
    let of_a_host_process = |owner: &Value| flag(&owner["securityContext"]["windowsOptions"], "hostProcess");
    let mut containers = ["containers", "initContainers"].into_iter().flat_map(|name| list(context.spec, name));
    if !flag(context.spec, "hostNetwork") {
        if of_a_host_process(context.spec) || containers.any(of_a_host_process) {
            let detail = "hostNetwork must be true if pod contains any hostProcess containers";
            errors.push(FieldError::invalid(&path.child("hostNetwork"), false, detail));
        }
        return;
    }
    for member in ["containers", "initContainers"] {
        for (index, container) in list(context.spec, member).iter().enumerate() {
            for (position, port) in list(container, "ports").iter().enumerate() {
                let host = int(port, "hostPort").unwrap_or(0);
                let open = host == 0 && !context.is_pod;
                if !open && host != int(port, "containerPort").unwrap_or(0) {
                    let path = path.child(member).index(index).child("ports").index(position).child("hostPort");
                    let detail = "must match `containerPort` when `hostNetwork` is true";
                    errors.push(FieldError::invalid(&path, host, detail));
                }
            }
        }
    }
}

/// DS-H44
pub(super) fn dns_config(errors: &mut Errors, spec: &Value, path: &Path) {
    let config = present(spec, "dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        match config {
            None => errors.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None")),
            Some(config) if list(config, "nameservers").is_empty() => {
                let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
                errors.push(FieldError::required(&path.child("nameservers"), detail));
            }
            Some(_) => {}
        }
    }
    let Some(config) = config else { return };
    let servers = list(config, "nameservers");
    let at = path.child("nameservers");
    if servers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(&at, config["nameservers"].clone(), detail));
    }
    for (index, server) in servers.iter().enumerate() {
        ip_address(errors, &at.index(index), server.as_str().unwrap_or_default());
    }
    searches(errors, config, &path.child("searches"));
    for (index, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(&path.child("options").index(index), "must not be empty"));
        }
    }
}

fn searches(errors: &mut Errors, config: &Value, path: &Path) {
    let searches: Vec<&str> = list(config, "searches").iter().filter_map(Value::as_str).collect();
    let mut refuse = |detail: String| errors.push(FieldError::invalid(path, config["searches"].clone(), detail));
    if searches.len() > SEARCHES_MAX {
        refuse(format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    if searches.join(" ").len() > SEARCH_CHARACTERS_MAX {
        refuse(format!(
            "must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        ));
    }
    for (index, search) in searches.into_iter().enumerate().filter(|(_, search)| *search != ".") {
        let name = search.strip_suffix('.').unwrap_or(search);
        let relaxed = name.replace('_', "a");
        invalid_each(errors, &path.index(index), search, names::dns1123_subdomain(&relaxed));
    }
}

pub(super) fn host_aliases(errors: &mut Errors, spec: &Value, path: &Path) {
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let path = path.index(index);
        ip_address(errors, &path.child("ip"), text(alias, "ip"));
        for (position, name) in list(alias, "hostnames").iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            let path = path.child("hostnames").index(position);
            invalid_each(errors, &path, name, names::dns1123_subdomain(name));
        }
    }
}
