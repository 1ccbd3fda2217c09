//! What the server costs: requests per second and latency of `convnext serve --engine null`, which computes no network, beside servers of a page each
//! that do the same decoding and nothing else. Every server is a process of its own and the clients are this one; all share the machine's
//! cores. In each round every server has each load once, so that a machine that changes its speed changes it for all.
//!
//!     cargo bench --bench overhead -- --rounds 5 --clients 1,16,256,1024
//!     cargo bench --bench overhead -- --against ../before/target/release/convnext
//!
//! Not here: what a network costs (`convnext bench`), and serving with one (`serve`).
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program for whoever builds the server"
)]

mod clients;
mod report;
mod rivals;
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use clients::Clients;
use report::{Report, Turn};
use servers::Server;

#[derive(Parser)]
struct Args {
    /// Calls to measure
    #[arg(long, value_enum, value_delimiter = ',', default_value = "http,grpc,classify")]
    calls: Vec<Call>,
    /// Clients that ask at the same time on a connection each, and again as soon as they have their answer
    #[arg(long, value_delimiter = ',', default_value = "1,16,256,1024")]
    clients: Vec<usize>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Of each turn
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rows and columns of the tensor, a multiple of 32; 64 is the demo model's own
    #[arg(long, default_value_t = 64)]
    side: usize,
    /// More flags for `convnext serve`
    #[arg(long, value_delimiter = ' ', allow_hyphen_values = true)]
    flags: Vec<String>,
    /// Another build of `convnext`, in place of the servers by hand
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Another build of `convnext`, in place of this one
    #[arg(long, value_name = "PROGRAM", default_value = env!("CARGO_BIN_EXE_convnext"))]
    ours: PathBuf,
    /// Rows of a table rather than JSON
    #[arg(long)]
    table: bool,
    /// To be a server for this program
    #[arg(long, hide = true)]
    rival: Option<rivals::Rival>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Call {
    /// The Open Inference Protocol over HTTP, an FP32 tensor as bytes, its logits as bytes
    Http,
    /// The same over gRPC
    Grpc,
    /// `POST /classify` with a PNG of 28×28 grey pixels
    Classify,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "OIP over HTTP",
            Self::Grpc => "OIP over gRPC",
            Self::Classify => "/classify",
        }
    }
}

fn main() {
    let args = Args::parse();
    if let Some(rival) = args.rival {
        return rivals::serve(rival, args.side);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(&args));
}

async fn measure(args: &Args) {
    let most = args.clients.iter().copied().max().unwrap_or(1);
    // ours and theirs, over HTTP and gRPC
    convnext_server::net::make_room(4 * most);
    let product = |program| Server::product(program, args.side, most, &args.flags);
    let ours = product(&args.ours);
    let theirs: Vec<Server> = match &args.against {
        Some(program) => vec![product(program)],
        None => ["axum", "tonic"].map(|name| Server::rival(name, args.side)).into(),
    };
    let mut contests = Vec::new();
    for &call in &args.calls {
        let rival = if call == Call::Grpc { theirs.last() } else { theirs.first() };
        let mut both = Vec::new();
        for server in [Some(&ours), rival].into_iter().flatten() {
            let address = if call == Call::Grpc { server.grpc } else { server.http };
            both.push((server, Clients::connect(call, address, args.side, most).await));
        }
        contests.push((call, both));
    }
    let mut report = Report::default();
    let turn = Duration::from_secs_f64(args.seconds);
    for round in 0..=args.rounds {
        for (call, both) in &mut contests {
            for &clients in &args.clients {
                // who is first changes from round to round
                let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
                let mut asked = [None, None];
                for index in order {
                    let (server, asking) = &mut both[index];
                    let before = server.cpu_seconds();
                    let mut result = asking.ask(clients, turn).await;
                    result.cpu = (server.cpu_seconds() - before) * 1e6 / result.count as f64;
                    asked[index] = Some(result);
                }
                let [Some(ours), Some(theirs)] = asked else { continue };
                // the first round warms all up
                if round > 0 {
                    report.add(Turn { call: *call, clients, round, ours, theirs });
                }
            }
        }
    }
    if args.table { report.print_table() } else { report.print_json() }
}
