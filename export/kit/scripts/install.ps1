# Installs this kit into a folder of its own, or removes it from there. Touches nothing else, needs
# no network and no rights. Every file is compared with SHA256SUMS before anything is installed.
param(
    [string]$Folder = (Join-Path $HOME 'refact-edge'),
    [string]$Python = '',
    [string]$Trust = '',
    [string]$Remove = ''
)
$ErrorActionPreference = 'Stop'
$mark = '.refact-edge-kit'

function Fail([string]$Message) {
    [Console]::Error.WriteLine("install.ps1: $Message")
    exit 1
}

if ($Remove) {
    if (-not (Test-Path -LiteralPath (Join-Path $Remove $mark))) {
        Fail "$Remove was not installed by this kit; nothing is removed"
    }
    Remove-Item -LiteralPath $Remove -Recurse -Force
    Write-Output "removed $Remove"
    exit 0
}
if (Test-Path -LiteralPath $Folder) {
    Fail "$Folder exists; name another folder, or -Remove it first"
}

$kit = $PSScriptRoot
$names = @()
foreach ($line in [IO.File]::ReadAllLines((Join-Path $kit 'SHA256SUMS'))) {
    if ($line -cnotmatch '^([0-9a-f]{64})  (.+)$') {
        Fail 'the kit is damaged: SHA256SUMS has lines that are no sums'
    }
    $sum, $name = $Matches[1], $Matches[2]
    $file = Join-Path $kit $name
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) {
        Fail "the kit is damaged: $name is missing"
    }
    if ((Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash.ToLower() -cne $sum) {
        Fail "the kit is damaged: $name"
    }
    $names += $name
}

$machine = if ($env:PROCESSOR_ARCHITECTURE -eq 'ARM64') { 'arm64' } else { 'amd64' }
$target = "windows-$machine"
$requirements = Join-Path $kit "requirements/$target.txt"
if (-not (Test-Path -LiteralPath $requirements)) {
    Fail "this is $target, which the kit is not for"
}
$version = (Get-Content -LiteralPath (Join-Path $kit 'python-version')).Trim()
$command = if ($Python) { @($Python) } else { @('py', "-$version") }
if (-not (Get-Command $command[0] -ErrorAction SilentlyContinue)) { $command = @('python') }
if (-not (Get-Command $command[0] -ErrorAction SilentlyContinue)) {
    Fail "there is no Python; expected ${version}: -Python names one"
}
$program = $command[0]
$before = @($command | Select-Object -Skip 1)
$found = & $program @before -c 'import sys; print("%d.%d" % sys.version_info[:2])'
if ($found -ne $version) {
    Fail "$program is $found; expected Python ${version}: -Python names it"
}

$done = $false
$temporary = $env:TEMP, $env:TMP
try {
    $env:TEMP = $env:TMP = Join-Path $Folder 'tmp'
    New-Item -ItemType Directory -Force -Path $env:TEMP | Out-Null
    & $program @before -I -m venv $Folder
    if ($LASTEXITCODE) { Fail "$program cannot make a virtual environment" }
    $own = Join-Path $Folder 'Scripts/python.exe'
    & $own -I -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-cache-dir `
        --require-hashes --find-links (Join-Path $kit "wheels/$target") -r $requirements
    if ($LASTEXITCODE) { Fail 'pip did not install the wheels; see above' }
    # What installs is no part of what runs.
    & $own -I -m pip uninstall --quiet --yes --disable-pip-version-check setuptools pip
    Remove-Item -LiteralPath $env:TEMP -Recurse -Force
    # What is listed, and nothing that somebody has put beside it.
    foreach ($name in $names -cmatch '^(bundles|licenses)/') {
        $to = Join-Path $Folder $name
        New-Item -ItemType Directory -Force -Path (Split-Path -Parent $to) | Out-Null
        Copy-Item -LiteralPath (Join-Path $kit $name) -Destination $to
    }
    # Which doctor compares with what is there.
    Copy-Item -LiteralPath $requirements -Destination (Join-Path $Folder $mark)
    $edge = Join-Path $Folder 'Scripts/refact-edge.exe'
    foreach ($bundle in Get-ChildItem -LiteralPath (Join-Path $Folder 'bundles') -Directory) {
        if ($Trust) {
            & $edge verify-signature $bundle.FullName --trust $Trust
            if ($LASTEXITCODE) { Fail "the bundle $($bundle.Name) is not to be trusted; see above" }
        }
        Write-Output "try: & '$edge' complete --bundle '$($bundle.FullName)' --prefix 'def add(a, b):' --suffix ''"
    }
    $done = $true
} finally {
    $env:TEMP, $env:TMP = $temporary
    if (-not $done -and (Test-Path -LiteralPath $Folder)) {
        Remove-Item -LiteralPath $Folder -Recurse -Force
    }
}
Write-Output "installed into $Folder"
