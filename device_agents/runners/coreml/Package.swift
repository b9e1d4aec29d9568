// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "CoreMLAgent",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(name: "AgentCore", targets: ["AgentCore"]),
        .library(name: "CoreMLBackend", targets: ["CoreMLBackend"]),
        .executable(name: "agent-linux", targets: ["AgentLinux"]),
    ],
    targets: [
        // No Apple framework: compiles and is tested on Linux too.
        .target(name: "AgentCore"),
        // Empty where Core ML is absent (#if canImport(CoreML)).
        .target(name: "CoreMLBackend", dependencies: ["AgentCore"]),
        // The core with programs of known time, for tests of the whole way.
        .executableTarget(name: "AgentLinux", dependencies: ["AgentCore"]),
        .testTarget(name: "AgentCoreTests", dependencies: ["AgentCore"]),
    ]
)
