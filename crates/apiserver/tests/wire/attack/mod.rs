//! The attack suite: every hostile role, with its own credential, tries everything.

pub(crate) mod bodies;
mod client;
mod escalation;
mod hostile_agent;
mod rights;
mod smuggling;
mod walk;
mod world;

use client::Client;
use rights::{ROLES, Table};
use walk::{Catalogue, Walk};
use world::World;

/// Every role sends every operation of the catalogue; who is let in is what `rights.txt` says.
#[tokio::test]
async fn every_role_is_let_into_what_the_table_says_and_nothing_else() {
    let world = World::make().await;
    let (table, catalogue) = (Table::read(), Catalogue::read(&world.admin).await);
    let before = world.foreign().await;
    let mut wrong = Vec::new();
    for role in ROLES {
        let client = Client::connect(&world.server, &world.who(role)).await;
        let walk = Walk { world: &world, table: &table, role, client };
        let (lines, sent) = walk.all(&catalogue).await;
        assert!(sent > 500, "{role} sent {sent}");
        wrong.extend(lines);
    }
    assert!(wrong.is_empty(), "{} answers are not as the table says:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(world.foreign().await, before, "foreign objects changed");
}

/// A kind or subresource without a block fails the suite, and so does a block of nothing.
#[tokio::test]
async fn the_table_names_everything_that_is_served() {
    let world = World::make().await;
    let (table, catalogue) = (Table::read(), Catalogue::read(&world.admin).await);
    let listed = table.resources().into_iter().collect();
    assert_eq!(catalogue.names(), listed);
}
