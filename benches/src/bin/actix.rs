//! An Actix Web service of one route, bare or guarded: `bench-actix bare|guarded ADDRESS`.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
};

use actix_web::{
    App, HttpResponse, HttpServer, Responder,
    http::header::ContentType,
    web::{self, Bytes, Data, ServiceConfig},
};
use anyhow::{Context, Result, bail};
use onceward::{Profile, Setup};

/// What an order is answered with.
const ANSWER: &str = r#"{"order":"0d9c1c8e-0f5f-4a44-8d0e-6a3f3b0d7c11","state":"accepted"}"#;

#[actix_web::main]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let guard = arguments.next().context("bare or guarded?")?;
    let address = arguments.next().context("the address is missing")?;
    let executed = Data::new(AtomicU64::new(0));
    match guard.as_str() {
        "bare" => {
            let service = move || App::new().app_data(Data::clone(&executed)).configure(routes);
            HttpServer::new(service).workers(1).bind(&address)?.run().await?;
        }
        "guarded" => {
            let once = Setup::at("memory:")?.start().await?.actix(Profile::onceward());
            let service =
                move || App::new().app_data(Data::clone(&executed)).wrap(once.clone()).configure(routes);
            HttpServer::new(service).workers(1).bind(&address)?.run().await?;
        }
        _ => bail!("a service is bare or guarded, not {guard}"),
    }
    Ok(())
}

fn routes(config: &mut ServiceConfig) {
    config.route("/orders", web::post().to(order)).route("/executions", web::get().to(executions));
}

async fn order(executed: Data<AtomicU64>, _body: Bytes) -> impl Responder {
    executed.fetch_add(1, Ordering::Relaxed);
    HttpResponse::Created().content_type(ContentType::json()).body(ANSWER)
}

async fn executions(executed: Data<AtomicU64>) -> String {
    executed.load(Ordering::Relaxed).to_string()
}
