#if canImport(CoreML)
    import AgentCore
    import CoreML
    import Foundation

    /// Core ML behind the runner: compile once, load per function and unit.
    public final class CoreMLBackend: Backend {
        private let root: URL
        private var compiled: [String: URL] = [:]

        public init(root: URL) { self.root = root }

        public func load(_ item: Plan.Item, unit: ComputeUnit) throws -> Program {
            let configuration = MLModelConfiguration()
            configuration.computeUnits = unit.coreML
            if item.method != "main" && item.method != "forward" {
                guard #available(iOS 18, macOS 15, *) else {
                    throw BackendError("functions need iOS 18")
                }
                configuration.functionName = item.method
            }
            let place = try compile(item.file)
            let model = try MLModel(contentsOf: place, configuration: configuration)
            return try CoreMLProgram(
                model: model, seed: UInt64(item.id),
                placement: placement(of: place, configuration: configuration))
        }

        public func bytes(_ item: Plan.Item) -> Int64 {
            let folder = root.appendingPathComponent(item.file)
            let keys: [URLResourceKey] = [.fileSizeKey]
            let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: keys)
            var total: Int64 = 0
            while let file = files?.nextObject() as? URL {
                total += Int64((try? file.resourceValues(forKeys: Set(keys)).fileSize) ?? 0)
            }
            return total
        }

        private func compile(_ file: String) throws -> URL {
            if let known = compiled[file] { return known }
            let kept = root.appendingPathComponent(file + "c")
            if !FileManager.default.fileExists(atPath: kept.path) {
                let fresh = try MLModel.compileModel(at: root.appendingPathComponent(file))
                try FileManager.default.moveItem(at: fresh, to: kept)
            }
            compiled[file] = kept
            return kept
        }

        /// The units that Core ML means to use, in alphabetical order; nil before iOS 17.4.
        private func placement(of place: URL, configuration: MLModelConfiguration) -> String? {
            guard #available(iOS 17.4, macOS 14.4, *) else { return nil }
            let name = configuration.functionNameIfAny ?? "main"
            let ready = DispatchSemaphore(value: 0)
            let found = Box<Set<String>>([])
            let asked = Box((place, configuration))
            Task.detached {
                found.value = (try? await CoreMLBackend.units(asked.value.0, asked.value.1, name)) ?? []
                ready.signal()
            }
            ready.wait()
            return found.value.isEmpty ? nil : found.value.sorted().joined(separator: "+")
        }

        @available(iOS 17.4, macOS 14.4, *)
        private static func units(
            _ place: URL, _ configuration: MLModelConfiguration, _ name: String
        ) async throws -> Set<String> {
            let plan = try await MLComputePlan.load(contentsOf: place, configuration: configuration)
            guard case .program(let program) = plan.modelStructure,
                let function = program.functions[name]
            else { return [] }
            var seen: Set<String> = []
            for operation in function.block.operations {
                guard let usage = plan.deviceUsage(for: operation) else { continue }
                switch usage.preferred {
                case .cpu: seen.insert("cpu")
                case .gpu: seen.insert("gpu")
                case .neuralEngine: seen.insert("ne")
                @unknown default: seen.insert("unknown")
                }
            }
            return seen
        }
    }

    /// Carries a value to one task and back: the semaphore orders the accesses.
    private final class Box<T>: @unchecked Sendable {
        var value: T
        init(_ value: T) { self.value = value }
    }

    public struct BackendError: Error, CustomStringConvertible {
        public let description: String
        init(_ text: String) { description = text }
    }

    extension ComputeUnit {
        var coreML: MLComputeUnits {
            switch self {
            case .cpuOnly: return .cpuOnly
            case .cpuAndNe: return .cpuAndNeuralEngine
            case .cpuAndGpu: return .cpuAndGPU
            }
        }
    }

    extension MLModelConfiguration {
        var functionNameIfAny: String? {
            guard #available(iOS 18, macOS 15, *) else { return nil }
            return functionName
        }
    }
#endif
