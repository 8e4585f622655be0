//! A small disk in place of a place's data folder, in a mount namespace of its own: only programs see it that are started by
//! [`Disk::wrapper`]. It goes when the test ends, however that ends.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use switchbox_tests::{HostFolder, is_available, skip_on_this_system};

pub struct Disk {
    /// Holds the namespace. Unfreezes and unmounts the disk when its standard input is closed, also by the end of this process.
    holder: Child,
    pid: String,
    data: String,
    image: String,
}

impl Disk {
    /// A disk of memory. Returns `None` if this machine does not allow it.
    pub fn of_memory(host_folder: &HostFolder, size: &str) -> Option<Self> {
        let disk = Self::mount(host_folder, &format!("mount -t tmpfs -o mode=700,size={size} none \"$data\""));
        is_available("a disk that can be mounted (it takes root)", disk.is_some()).then_some(disk).flatten()
    }

    /// A file with an ext4 file system on it, which can be frozen and can turn read-only. Returns `None` if this machine does not
    /// allow it; a CI machine that has loop devices and root has to.
    pub fn of_ext4(host_folder: &HostFolder, size: &str) -> Option<Self> {
        if !is_available("mkfs.ext4", is_installed("mkfs.ext4")) {
            return None;
        }
        if !Path::new("/dev/loop-control").exists() || !is_root() {
            skip_on_this_system("a disk that fails takes root and loop devices");
            return None;
        }
        let make = format!(
            "truncate -s {size} \"$image\" && mkfs.ext4 -q -F \"$image\" && mount -o loop,errors=remount-ro \"$image\" \"$data\" && \
             chmod 700 \"$data\""
        );
        let disk = Self::mount(host_folder, &make);
        is_available("a loop device that can be mounted", disk.is_some()).then_some(disk).flatten()
    }

    fn mount(host_folder: &HostFolder, how: &str) -> Option<Self> {
        fs::create_dir(host_folder.data()).unwrap();
        let data = host_folder.data().display().to_string();
        let image = host_folder.root().join("disk.img").display().to_string();
        let end = "fsfreeze -u \"$data\" 2>/dev/null; umount -l \"$data\"";
        let script = format!("{how} || exit 1; echo ready; read -r end; {end}");
        let mut holder = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", &script])
            .envs([("data", &data), ("image", &image)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut ready = [0; 5];
        let is_ready = holder.stdout.take()?.read_exact(&mut ready).is_ok();
        let pid = holder.id().to_string();
        let disk = Self { holder, pid, data, image };
        is_ready.then_some(disk)
    }

    pub fn wrapper(&self) -> [&str; 5] {
        ["nsenter", "-m", "-t", &self.pid, "--"]
    }

    /// Runs the command with access to the disk; `$data` is where it is mounted. Returns true if it succeeded.
    pub fn sh(&self, command: &str) -> bool {
        let [program, arguments @ ..] = self.wrapper();
        let mut command_line = Command::new(program);
        command_line.args(arguments).args(["sh", "-c", command]).env("data", &self.data).env("image", &self.image);
        command_line.status().unwrap().success()
    }

    /// Every write hangs from now on, in the kernel, until [`Disk::thaw`].
    pub fn freeze(&self) {
        assert!(self.sh("fsfreeze -f \"$data\""));
    }

    pub fn thaw(&self) {
        assert!(self.sh("fsfreeze -u \"$data\""));
    }

    /// What is on it, for programs that do not see it. Waits for no write.
    pub fn copy_data_to(&self, host_folder: &HostFolder) {
        assert!(self.sh(&format!("cp -r \"$data\" '{}'", host_folder.data().display())));
    }

    /// As an operator does it after [`Disk::fail`].
    pub fn repair(&self) {
        let check = "e2fsck -f -y \"$image\" >/dev/null 2>&1";
        // e2fsck ends with 1 if it has repaired something.
        assert!(
            self.sh(&format!("umount \"$data\" && {{ {check}; [ $? -le 1 ]; }} && mount -o loop \"$image\" \"$data\""))
        );
    }

    /// The kernel finds an error on it, and it turns read-only.
    pub fn fail(&self) {
        let device = "device=$(findmnt -n -o SOURCE \"$data\")";
        assert!(self.sh(&format!("{device} && echo 1 > /sys/fs/ext4/${{device#/dev/}}/trigger_fs_error")));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Whether the program is installed. It also looks where programs of root are, which only root has in its `PATH`.
fn is_installed(name: &str) -> bool {
    let find = format!("PATH=\"$PATH:/usr/sbin:/sbin\"; command -v {name}");
    switchbox_tests::runs(Command::new("sh").args(["-c", &find]))
}

fn is_root() -> bool {
    switchbox_tests::runs(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"]))
}
