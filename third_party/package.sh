#!/bin/sh
# Makes Debian packages of nclip from a clone, for the release that it runs on: the program for any
# processor of this kind, without CUDA unless NCLIP_CUDA=ON is set, with MPI unless NCLIP_MPI=OFF is.
#   sh third_party/package.sh [DIR]        the packages' folder (default: build-package/packages)
set -eu
target=${1:-build-package/packages}
mkdir -p "$target"
target=$(cd "$target" && pwd)
cd "$(dirname "$0")/.."
mpi=${NCLIP_MPI:-ON}
mpi_packages=
[ "$mpi" = OFF ] || mpi_packages="libopenmpi-dev"
# shellcheck disable=SC2086
sh third_party/install.sh dpkg-dev file $mpi_packages
cmake -S . -B build-package -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr \
    -DNCLIP_NATIVE=OFF -DNCLIP_TESTS=OFF -DNCLIP_CUDA="${NCLIP_CUDA:-OFF}" -DNCLIP_MPI="$mpi"
cmake --build build-package --parallel "$(sh third_party/jobs.sh)" --target nclip nclip_shared nclip_core pages
(cd build-package && cpack -B "$target")
rm -rf "$target/_CPack_Packages"
ls -l "$target"/*.deb
