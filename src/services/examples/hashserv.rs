//! A hash equivalence server from the command line, for trying it against other clients:
//! `hashserv ADDRESS DATABASE [ADMIN PASSWORD]`; with an administrator, others may do nothing.

use hz_services::hashserv::{ServeOptions, serve};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, database, admin @ ..] = args.as_slice() else {
        eprintln!("usage: hashserv ADDRESS DATABASE [ADMIN PASSWORD]");
        std::process::exit(1);
    };
    let mut options = ServeOptions::new(address, database);
    if let [name, password] = admin {
        options.admin = Some((name.clone(), password.clone()));
        options.anon_perms = Some(vec!["@none".into()]);
    }
    if let Err(e) = serve(&options) {
        eprintln!("ERROR: {e}");
        std::process::exit(1);
    }
}
