// AWS's Lambda Web Adapter is a library with a program around it; this is that program. See ../../README.md.

use lambda_web_adapter::{Adapter, AdapterOptions, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().without_time().init();
    let mut adapter = Adapter::new(&AdapterOptions::default());
    adapter.register_default_extension();
    adapter.check_init_health().await;
    adapter.run().await
}
