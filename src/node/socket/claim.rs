//! Claims the path of the status socket without removing unrelated files.

use std::{
    fs::{self, DirBuilder, Metadata},
    io::ErrorKind,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::net::UnixListener;

/// The file of a socket, known by its identity: a path may have been given to somebody else meanwhile.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode. The inode is not reused while the socket is open.
    identity: (u64, u64),
}

impl SocketFile {
    /// The socket that is at a path now.
    fn at(path: &Path) -> Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: (found.dev(), found.ino()),
        })
    }

    /// Removes it, unless something else is at its path.
    pub(super) fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| {
            found.file_type().is_socket() && (found.dev(), found.ino()) == self.identity
        });
        if ours {
            // One that is gone already needs no removal.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at a path. The socket that a killed node left is replaced; any other file stays, and is an error. The folder is made where it is
/// missing; when it is the default one, whose name anybody can guess, it must be this user's alone.
pub(super) fn listen(socket: &Path, default_folder: &Path) -> Result<(UnixListener, SocketFile)> {
    if let Some(folder) = socket.parent() {
        // Only this user's processes may ask.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("making the folder {}", folder.display()))?;
        if folder == default_folder {
            private(folder)?;
        }
    }
    reclaim(socket)?;
    let listener = UnixListener::bind(socket)?;
    Ok((listener, SocketFile::at(socket)?))
}

/// Removes the socket of a node that is gone.
fn reclaim(socket: &Path) -> Result<()> {
    let found = match fs::symlink_metadata(socket) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    ensure!(
        found.file_type().is_socket(),
        "the path exists and is not a socket: set another status.socket"
    );
    match UnixStream::connect(socket) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(socket).context("removing a stale socket")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context("the existing socket cannot be queried"),
        Ok(_) => {
            bail!("another node is listening there: set a unique node.name or status.socket")
        }
    }
}

fn private(folder: &Path) -> Result<()> {
    let found = fs::symlink_metadata(folder)?;
    let user = rustix::process::geteuid().as_raw();
    if let Some(wrong) = not_private(&found, user) {
        bail!(
            "the folder {} {wrong}: fix it, or set status.socket",
            folder.display()
        );
    }
    Ok(())
}

/// Why a folder is not private.
fn not_private(folder: &Metadata, user: u32) -> Option<&'static str> {
    if !folder.is_dir() {
        Some("is a link or no folder")
    } else if folder.uid() != user {
        Some("belongs to another user")
    } else if folder.mode() & 0o077 != 0 {
        Some("is open to other users (its mode must be 0700)")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn refused(socket: &Path, default_folder: &Path) -> String {
        format!("{:#}", listen(socket, default_folder).unwrap_err())
    }

    #[tokio::test]
    async fn files_that_are_not_sockets_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let remote_nodes = Path::new("/nowhere");
        let file = folder.path().join("precious.txt");
        fs::write(&file, "precious").unwrap();
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        let dangling = folder.path().join("dangling");
        symlink("missing", &dangling).unwrap();
        let inner = folder.path().join("folder");
        fs::create_dir(&inner).unwrap();
        for path in [&file, &link, &dangling, &inner] {
            let error = refused(path, remote_nodes);
            assert!(error.contains("not a socket"), "{error}");
            assert!(fs::symlink_metadata(path).is_ok());
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_socket_of_a_killed_node_is_replaced_and_that_of_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("new").join("node.sock");
        let remote_nodes = Path::new("/nowhere");
        // Dropping a listener leaves its file, as a kill does.
        drop(listen(&socket, remote_nodes).unwrap());
        assert!(socket.exists());
        let _live = listen(&socket, remote_nodes).unwrap();
        let error = refused(&socket, remote_nodes);
        assert!(error.contains("another node is listening"), "{error}");
    }

    #[tokio::test]
    async fn only_the_nodes_own_socket_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let remote_nodes = Path::new("/nowhere");
        let path = folder.path().join("node.sock");
        let (_listener, file) = listen(&path, remote_nodes).unwrap();
        file.remove();
        assert!(!path.exists());
        file.remove();
        // The path was replaced by another file.
        fs::write(&path, "precious").unwrap();
        file.remove();
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        let (_successor, _) = listen(&path, remote_nodes).unwrap();
        file.remove();
        assert!(path.exists(), "the socket of its successor");
    }

    #[tokio::test]
    async fn the_default_folder_can_be_made_where_containers_have_their_temporary_files() {
        let base = tempfile::tempdir().unwrap();
        // A tmpfs of Docker; an emptyDir of Kubernetes with fsGroup, whose folders get the group's bit.
        for mode in [0o1777, 0o2777] {
            let temporary = base.path().join(format!("{mode:o}"));
            fs::create_dir(&temporary).unwrap();
            fs::set_permissions(&temporary, Permissions::from_mode(mode)).unwrap();
            let folder = temporary.join("babelmesh-10001");
            let socket = folder.join("node.sock");
            for _ in 0..2 {
                // The second time after a container was killed.
                drop(listen(&socket, &folder).unwrap());
            }
            let mode = fs::metadata(&folder).unwrap().mode();
            assert_eq!(mode & 0o1777, 0o700);
        }
    }

    #[tokio::test]
    async fn the_default_folder_is_this_users_alone() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("babelmesh-1");
        let socket = folder.join("node.sock");
        drop(listen(&socket, &folder).unwrap());
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        assert!(refused(&socket, &folder).contains("open to other users"));
        assert!(listen(&socket, base.path()).is_ok());
        let link = base.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(refused(&link.join("node.sock"), &link).contains("is a link"));
        let found = fs::symlink_metadata(base.path()).unwrap();
        let other = found.uid() + 1;
        assert_eq!(not_private(&found, other), Some("belongs to another user"));
    }
}
