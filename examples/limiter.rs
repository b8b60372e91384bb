//! Rate limits by native scripts: a built-in one by its name, and one of the application's own that stands for the Lua
//! that its clients already send.

use innkeep::{Engine, Script};
use redis::RedisResult;

/// What the clients send; here it is never interpreted.
const LUA: &str = "local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return n <= tonumber(ARGV[1]) and 1 or 0";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::in_memory();
    engine.register_script(
        Script::new("hotel.login_limit", |context| {
            let (limit, window) = (
                context.int_arg(0, "the limit", 0)?,
                context.arg(1, "the window")?,
            );
            let count = context.call_int(&[b"INCR", context.key(0)?])?;
            if count == 1 {
                context.call(&[b"PEXPIRE", context.key(0)?, window])?;
            }
            Ok(innkeep::Response::Int(i64::from(count <= limit)))
        })
        .description("At most ARGV[1] logins in ARGV[2] milliseconds")
        .lua_source(LUA),
    )?;
    log_in(&engine)?;
    send_mail(&engine)?;
    Ok(())
}

/// The Lua goes in, the Rust runs.
fn log_in(engine: &Engine) -> RedisResult<()> {
    let mut connection = engine.connection();
    let script = redis::Script::new(LUA);
    for attempt in 1..=5 {
        let allowed: bool = script
            .key("logins:ada")
            .arg(3)
            .arg(60_000)
            .invoke(&mut connection)?;
        println!(
            "login {attempt}: {}",
            if allowed { "allowed" } else { "refused" }
        );
    }
    let left_ms: i64 = redis::Commands::pttl(&mut connection, "logins:ada")?;
    println!("the window ends in {left_ms} ms");
    Ok(())
}

/// Three letters a minute, in any minute.
fn send_mail(engine: &Engine) -> RedisResult<()> {
    let mut connection = engine.connection();
    let script = redis::Script::new("innkeep.limit.sliding_window");
    for letter in 1..=4 {
        let (allowed, left, retry_ms): (bool, i64, i64) = script
            .key("mail:guest:7")
            .arg(3)
            .arg(60_000)
            .invoke(&mut connection)?;
        if allowed {
            println!("letter {letter}: sent, {left} more may follow");
        } else {
            println!(
                "letter {letter}: try again in {} s",
                (retry_ms + 999) / 1000
            );
        }
    }
    Ok(())
}
