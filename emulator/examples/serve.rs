//! Serves until interrupted, and prints a kubeconfig: `cargo run -p k3s-arc-emulator --example serve > kubeconfig`.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    let emulator = k3s_arc_emulator::Emulator::builder().address(([127, 0, 0, 1], port).into()).start().await?;
    use std::io::Write as _;
    std::io::stdout().write_all(emulator.kubeconfig().as_bytes())?;
    std::io::stdout().flush()?;
    std::future::pending::<()>().await;
    Ok(())
}
