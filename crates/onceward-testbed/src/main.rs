//! `onceward-testbed COMMAND …`: runs a command, such as the tests, with one server of each kind that all its processes share.

use std::{
    env,
    error::Error,
    process::{Command, ExitCode},
};

use onceward_testbed::{
    mysql::Mysql,
    postgres::Postgres,
    redis::{Keeping, Redis},
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let program = arguments.next().ok_or("expected a command to run with servers beside it")?;
    // Every test has a few connections, and several run at once.
    let postgres = Postgres::start(&[("max_connections", "300")])?;
    let mysql = Mysql::start(&["--max-connections=300"])?;
    let redis = Redis::start(Keeping::Always, &[])?;
    let status = Command::new(program)
        .args(arguments)
        .env("ONCEWARD_TEST_POSTGRES_URL", postgres.url())
        .env("ONCEWARD_TEST_MYSQL_URL", mysql.url("root", ""))
        .env("ONCEWARD_TEST_REDIS_URL", redis.url())
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
