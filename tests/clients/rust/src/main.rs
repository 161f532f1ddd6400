//! See ../../README.md.
use lambda_runtime::{run, service_fn, Error, LambdaEvent};
use serde_json::{json, Value};
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match std::env::var("AT_INIT").as_deref() {
        Ok("raise") => panic!("not today"),
        Ok("sleep") => std::thread::sleep(Duration::from_secs(60)),
        _ => {}
    }
    run(service_fn(handler)).await
}

async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
    println!("a line of the function");
    let (event, context) = event.into_parts();
    match event["do"].as_str().unwrap_or("") {
        "raise" => return Err("boom".into()),
        "panic" => panic!("boom"),
        "exit" => std::process::exit(3),
        "sleep" => tokio::time::sleep(Duration::from_secs(60)).await,
        "fill" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1u8; 8 << 20]);
                std::hint::black_box(&all);
            }
        }
        "large" => return Ok(Value::String("x".repeat((6 << 20) + 200))),
        "read" => return Ok(Value::String(std::fs::read_to_string(event["path"].as_str().unwrap())?)),
        _ => {}
    }
    let left_ms = left_ms(context.deadline)?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let its = &context.env_config;
    Ok(json!({
        "event": event, "id": context.request_id, "arn": context.invoked_function_arn,
        "left_ms": left_ms, "later_ms": self::left_ms(context.deadline)?,
        "memory": its.memory.to_string(), "name": its.function_name, "version": its.version,
        "group": its.log_group, "stream": its.log_stream,
        "custom": context.client_context.as_ref().map(|given| &given.custom),
        "env": std::env::vars().collect::<HashMap<_, _>>(),
    }))
}

fn left_ms(deadline_ms: u64) -> Result<i64, Error> {
    Ok(deadline_ms as i64 - SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64)
}
